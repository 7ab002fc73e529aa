-- The newest indicator row of a bar reads price times factor, as the display series does.
with adjusted as (

    select * from {{ ref('int_price_bars__adjusted') }}

),

newest as (

    select distinct on (source, symbol, interval, timestamp) *
    from {{ ref('indicators') }}
    where definition = features.active('marts.indicators')
    order by
        source asc,
        symbol asc,
        interval asc,
        timestamp asc,
        known_at desc,
        watermark desc,
        row_id desc

)

select
    adjusted.bar_id,
    adjusted.adjusted_close,
    newest.close
from adjusted
inner join newest on adjusted.bar_id = newest.bar_id
where adjusted.adjusted_close::double precision <> newest.close
