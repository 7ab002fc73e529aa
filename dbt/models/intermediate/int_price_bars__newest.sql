with bars as (

    select * from {{ ref('stg_price_bars') }}

),

newest as (

    select distinct on (source, symbol, interval, timestamp) *
    from bars
    order by
        source asc,
        symbol asc,
        interval asc,
        timestamp asc,
        known_at desc,
        watermark desc

)

select * from newest
