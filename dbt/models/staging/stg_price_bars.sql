with source as (

    select * from {{ source('raw', 'price_bars') }}

),

final as (

    select
        ---------- ids
        bar_id,
        batch_id,
        source,
        symbol,
        interval,
        watermark,
        row_hash,

        ---------- numerics
        open,
        high,
        low,
        close,
        volume,
        adjustment,

        ---------- timestamps
        timestamp,
        nominal_at,
        known_at
    from source

)

select * from final
