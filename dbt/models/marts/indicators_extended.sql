{% set max_gap = longest_gaps() %}
{{ config(
    materialized='versioned',
    parameters={
        'context_bars': 26,
        'seed_bars': 26,
        'seed_columns': [
            'high',
            'low',
            'close',
            'typical_price',
            'volume',
            'parkinson_variance_1',
            'garman_klass_variance_1'
        ],
        'max_gap': max_gap,
        'row_hash': 2,
        'actions_from': 'session'
    }
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
    -- A number is cast once, here, not in each step that reads it.
    offset 0 -- noqa: AM09

),

measured as (

    select
        *,
        (high + low + close) / 3.0::double precision as typical_price,
        features.log_ratio_v1(high, low) as log_range,
        features.log_ratio_v1(close, open) as log_change
    from adjusted
    offset 0 -- noqa: AM09

),

-- 4 ln 2 and 2 ln 2 - 1.
estimated as (

    select
        *,
        log_range * log_range
        / 2.772588722239781::double precision as parkinson_variance_1,
        0.5::double precision * log_range * log_range
        - 0.3862943611198906::double precision * log_change
        * log_change as garman_klass_variance_1
    from measured
    offset 0 -- noqa: AM09

),

stepped as (

    select
        *,
        features.indicator_extended_v2(
            seed, is_context, at_time, max_gap, high, low, close, typical_price,
            volume, parkinson_variance_1, garman_klass_variance_1
        ) over (
            partition by source, symbol, interval
            order by timestamp
            rows between unbounded preceding and current row
        ) as step
    from estimated

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
        step[1:24] as state,
        open,
        high,
        low,
        close,
        volume,
        typical_price,
        case
            when step[1] >= 15 and step[5] = 0.0::double precision
                then 0.0::double precision
            when step[1] >= 15 then 100.0::double precision * (step[3] / step[5])
        end as plus_di_14,
        case
            when step[1] >= 15 and step[5] = 0.0::double precision
                then 0.0::double precision
            when step[1] >= 15 then 100.0::double precision * (step[4] / step[5])
        end as minus_di_14,
        case when step[1] >= 28 then step[6] end as adx_14,
        case when step[1] >= 14 then step[7] end as stochastic_fast_k_14,
        case when step[1] >= 16 then step[9] end as stochastic_k_14,
        case when step[1] >= 18 then step[11] end as stochastic_d_14,
        case when step[1] >= 20 then step[30] end as cci_20,
        case when step[1] >= 15 then step[31] end as mfi_14,
        case when step[1] >= 20 and step[33] > 0.0 then step[32] / step[33] end as vwap_20,
        case
            when right(interval, 1) in ('m', 'h') and step[24] > 0.0
                then step[23] / step[24]
        end as vwap_utc_day,
        case when step[1] >= 14 then step[25] end as williams_r_14,
        case when step[1] >= 11 then step[36] end as roc_10,
        case when step[1] >= 20 then step[26] end as donchian_upper_20,
        case
            when step[1] >= 20
                then (step[26] + step[27]) / 2.0::double precision
        end as donchian_middle_20,
        case when step[1] >= 20 then step[27] end as donchian_lower_20,
        case
            when step[1] >= 20
                then step[12] + 2.0::double precision * step[13]
        end as keltner_upper_20,
        case when step[1] >= 20 then step[12] end as keltner_middle_20,
        case
            when step[1] >= 20
                then step[12] - 2.0::double precision * step[13]
        end as keltner_lower_20,
        case when step[1] >= 26 then step[28] end as aroon_up_25,
        case when step[1] >= 26 then step[29] end as aroon_down_25,
        case when step[1] >= 26 then step[28] - step[29] end as aroon_oscillator_25,
        case when step[1] >= 44 then step[17] end as trix_15,
        case when step[1] >= 2 then step[18] end as parabolic_sar,
        parkinson_variance_1,
        garman_klass_variance_1,
        case
            when step[1] >= 20
                then sqrt(step[34] / 20.0::double precision)
        end as parkinson_volatility_20,
        case
            when step[1] >= 20
                then sqrt(greatest(0.0, step[35] / 20.0::double precision))
        end as garman_klass_volatility_20
    from stepped
    where not is_context

)

select * from final
