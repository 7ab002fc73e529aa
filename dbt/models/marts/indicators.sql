{% set max_gap = longest_gaps() %}
{{ config(
    materialized='versioned',
    parameters=own_parameters(
        {
            'context_bars': 50,
            'seed_closes': 50,
            'max_gap': max_gap,
            'row_hash': 2,
            'actions_from': 'session'
        }
    )
) }}

-- depends_on: {{ ref('int_price_bars__adjusted') }}
with pending as (

    select * from {{ source('features', 'pending_bars') }}

),

adjusted as (

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
        volume::double precision / factor::double precision as volume,
        date_part('epoch', timestamp) as at_time,
        date_part(
            'epoch',
            case interval
                when '1d' then '{{ max_gap["1d"] }}'::interval
                when '1w' then '{{ max_gap["1w"] }}'::interval
                when '1mo' then '{{ max_gap["1mo"] }}'::interval
                else '{{ max_gap["other"] }}'::interval
            end
        ) as max_gap
    from pending
    -- A number is cast once, here, not in each window that reads it.
    offset 0 -- noqa: AM09

),

-- A seed of 70 brings the last 50 closes with it, where no bars go before as context.
looked_back as (

    select
        *,{{ own_over_bars() }}
        coalesce(lag(close, 1) over series, seed[3]) as close_1,
        coalesce(lag(close, 5) over series, seed[65 + row_number() over series]) as close_5,
        coalesce(lag(close, 20) over series, seed[50 + row_number() over series]) as close_20,
        coalesce(lag(close, 21) over series, seed[49 + row_number() over series]) as close_21,
        coalesce(lag(close, 50) over series, seed[20 + row_number() over series]) as close_50
    from adjusted
    window series as (partition by source, symbol, interval order by timestamp){{ own_windows() }}

),

stepped as (

    select
        *,
        features.indicator_state_v2(
            seed, at_time, max_gap, high, low, close, volume, close_20, close_21, close_50
        ) filter (where not is_context) over (
            partition by source, symbol, interval
            order by timestamp
            rows between unbounded preceding and current row
        ) as state
    from looked_back

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
        volume,{{ own_warmed_up() }}
        case when state[1] >= 20 then state[12] / 20.0::double precision end as sma_20,
        case when state[1] >= 50 then state[14] / 50.0::double precision end as sma_50,
        case when state[1] >= 12 then state[4] end as ema_12,
        case when state[1] >= 26 then state[5] end as ema_26,
        case
            when state[1] >= 15 and state[8] + state[9] = 0.0::double precision
                then 0.0::double precision
            when state[1] >= 15
                then 100.0::double precision * (state[8] / (state[8] + state[9]))
        end as rsi_14,
        case when state[1] >= 34 then state[6] - state[5] end as macd,
        case when state[1] >= 34 then state[7] end as macd_signal,
        case when state[1] >= 34 then state[6] - state[5] - state[7] end as macd_histogram,
        case
            when state[1] >= 20
                then
                    state[12] / 20.0::double precision
                    + 2.0::double precision * sqrt(state[13] / 20.0::double precision)
        end as bollinger_upper_20,
        case when state[1] >= 20 then state[12] / 20.0::double precision end as bollinger_middle_20,
        case
            when state[1] >= 20
                then
                    state[12] / 20.0::double precision
                    - 2.0::double precision * sqrt(state[13] / 20.0::double precision)
        end as bollinger_lower_20,
        case when state[1] >= 15 then state[10] end as atr_14,
        state[11] as obv,
        case when state[1] >= 2 then (close - close_1) / close_1 end as return_1d,
        case when state[1] >= 6 then (close - close_5) / close_5 end as return_5d,
        case when state[1] >= 21 then (close - close_20) / close_20 end as return_20d,
        case when state[1] >= 21 then sqrt(state[16] / 19.0::double precision) end as volatility_20d
    from stepped
    where not is_context

)

select * from final
