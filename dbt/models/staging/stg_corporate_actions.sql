with source as (

    select * from {{ source('raw', 'corporate_actions') }}

),

final as (

    select
        ---------- ids
        action_id,
        batch_id,
        source,
        symbol,
        kind,
        watermark,
        row_hash,
        new_symbol,

        ---------- numerics
        ratio,
        amount,
        currency,

        ---------- timestamps
        ex_date,
        nominal_at,
        known_at
    from source

)

select * from final
