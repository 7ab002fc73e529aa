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

factors as (

    select
        bars.bar_id,
        features.product(newest_splits.ratio order by newest_splits.ex_date)
            as factor
    from bars
    inner join newest_splits
        on
            bars.source = newest_splits.source
            and bars.symbol = newest_splits.symbol
            and features.acts_from(
                bars.interval, newest_splits.ex_date, bars.symbol
            ) <= bars.timestamp
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
