with bars as (

    select * from {{ ref('int_price_bars__newest') }}

),

sources as (

    select * from {{ source('raw', 'sources') }}

),

serving as (

    select distinct on (bars.symbol, bars.interval)
        bars.symbol,
        bars.interval,
        bars.source
    from bars
    left join sources on bars.source = sources.source
    order by
        bars.symbol asc,
        bars.interval asc,
        sources.precedence asc nulls last,
        bars.source asc

),

final as (

    select
        bars.symbol,
        bars.interval,
        bars.timestamp,
        bars.source,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        bars.adjustment,
        bars.known_at,
        bars.watermark,
        bars.bar_id
    from bars
    inner join serving
        on
            bars.symbol = serving.symbol
            and bars.interval = serving.interval
            and bars.source = serving.source

)

select * from final
