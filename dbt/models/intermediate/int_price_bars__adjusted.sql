with bars as (

    select * from {{ ref('int_price_bars__newest') }}

),

actions as (

    select * from {{ ref('stg_corporate_actions') }}

),

newest_splits as (

    select distinct on (source, symbol, ex_date)
        source,
        symbol,
        ex_date,
        ratio
    from actions
    where kind = 'split'
    order by
        source asc,
        symbol asc,
        ex_date asc,
        known_at desc,
        watermark desc

),

series as (

    select distinct
        source,
        symbol,
        interval
    from bars

),

-- Asked once per series and split, not for each of its bars.
placed as materialized (

    select
        series.source,
        series.symbol,
        series.interval,
        newest_splits.ex_date,
        newest_splits.ratio,
        features.acts_from(
            series.interval, newest_splits.ex_date, series.symbol
        ) as from_at
    from series
    inner join newest_splits
        on
            series.source = newest_splits.source
            and series.symbol = newest_splits.symbol

),

factors as (

    select
        bars.bar_id,
        features.product(placed.ratio order by placed.ex_date) as factor
    from bars
    inner join placed
        on
            bars.source = placed.source
            and bars.symbol = placed.symbol
            and bars.interval = placed.interval
            and bars.timestamp >= placed.from_at
    where bars.adjustment = 'raw'
    group by bars.bar_id

),

final as (

    select
        bars.bar_id,
        bars.source,
        bars.symbol,
        bars.interval,
        bars.timestamp,
        bars.close,
        coalesce(factors.factor, 1) as factor,
        bars.close * coalesce(factors.factor, 1) as adjusted_close
    from bars
    left join factors on bars.bar_id = factors.bar_id

)

select * from final
