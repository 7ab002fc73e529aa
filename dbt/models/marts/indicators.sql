{{ config(materialized='versioned', parameters={'context_bars': 50}) }}

-- depends_on: {{ ref('int_price_bars__adjusted') }}
with pending as (

    select * from {{ source('features', 'pending_bars') }}

),

adjusted as materialized (

    select
        source,
        symbol,
        interval,
        timestamp,
        known_at,
        nominal_at,
        bar_id,
        bar_hash,
        seed,
        is_context,
        (open * factor)::double precision as open,
        (high * factor)::double precision as high,
        (low * factor)::double precision as low,
        (close * factor)::double precision as close,
        volume::double precision / factor::double precision as volume
    from pending

),

stepped as (

    select
        *,
        features.indicator_state_v1(seed, high, low, close, volume)
        filter (where not is_context) over up_to_now as state,
        lag(close, 1) over series as close_1_before,
        lag(close, 5) over series as close_5_before,
        lag(close, 20) over series as close_20_before,
        sum(close) over window_20 / 20.0::double precision as mean_20,
        sum(close) over window_50 / 50.0::double precision as mean_50,
        stddev_pop(close) over window_20 as deviation_20{{ own_features_over_bars() }}
    from adjusted
    window
        series as (partition by source, symbol, interval order by timestamp),
        up_to_now as (series rows between unbounded preceding and current row),
        window_20 as (series rows between 19 preceding and current row),
        window_50 as (series rows between 49 preceding and current row)

),

returned as (

    select
        *,
        state[1] as bars,
        (close - close_1_before) / close_1_before as return_1d
    from stepped

),

spread as (

    select
        *,
        stddev_samp(return_1d) over (
            partition by source, symbol, interval
            order by timestamp
            rows between 19 preceding and current row
        ) as return_deviation_20
    from returned

),

final as (

    select -- noqa: ST06
        source,
        symbol,
        interval,
        timestamp,
        known_at,
        nominal_at,
        bar_id,
        bar_hash,
        state,
        open,
        high,
        low,
        close,
        volume,
        case when bars >= 20 then mean_20 end as sma_20,
        case when bars >= 50 then mean_50 end as sma_50,
        case when bars >= 12 then state[3] end as ema_12,
        case when bars >= 26 then state[4] end as ema_26,
        case
            when bars >= 15 and state[7] + state[8] < 1e-14::double precision
                then 0.0::double precision
            when bars >= 15
                then 100.0::double precision * (state[7] / (state[7] + state[8]))
        end as rsi_14,
        case when bars >= 34 then state[5] - state[4] end as macd,
        case when bars >= 34 then state[6] end as macd_signal,
        case when bars >= 34 then state[5] - state[4] - state[6] end as macd_histogram,
        case
            when bars >= 20 then mean_20 + 2.0::double precision * deviation_20
        end as bollinger_upper_20,
        case when bars >= 20 then mean_20 end as bollinger_middle_20,
        case
            when bars >= 20 then mean_20 - 2.0::double precision * deviation_20
        end as bollinger_lower_20,
        case when bars >= 15 then state[9] end as atr_14,
        state[10] as obv,
        return_1d,
        case
            when bars >= 6 then (close - close_5_before) / close_5_before
        end as return_5d,
        case
            when bars >= 21 then (close - close_20_before) / close_20_before
        end as return_20d,
        case when bars >= 21 then return_deviation_20 end as volatility_20d{{ own_warmed_up() }}
    from spread
    where not is_context

)

select * from final
