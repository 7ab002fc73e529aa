with source as (

    select * from {{ source('raw', 'news_items') }}

),

final as (

    select
        ---------- ids
        item_id,
        batch_id,
        source,
        news_id,
        symbols,
        watermark,
        row_hash,

        ---------- texts
        headline,
        body,
        url,

        ---------- timestamps
        published_at,
        is_date_only,
        nominal_at,
        known_at
    from source

)

select * from final
