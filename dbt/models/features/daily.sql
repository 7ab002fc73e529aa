{{ config(
    materialized='versioned',
    parameters={
        'scorer': var('scorer'),
        'scorer_version': var('scorer_version') | string,
        'max_age_sessions': 3
    }
) }}

-- depends_on: {{ ref('indicators') }}
-- depends_on: {{ source('features', 'news_scores') }}
with pending as (

    select * from {{ source('features', 'pending_indicators') }}
    where interval = '1d'

),

scored as (

    select
        pending.*,
        news.sentiment,
        news.items as sentiment_items
    from pending
    cross join lateral features.sentiment_v1(
        pending.symbol,
        pending.decision_at,
        pending.decision_at,
        pending.up_to,
        '{{ var("scorer") }}',
        '{{ var("scorer_version") }}'
    ) as news

),

final as (

    select
        source,
        symbol,
        interval,
        timestamp,
        known_at,
        decision_at,
        row_id as indicator_row_id,
        row_hash as indicator_row_hash,
        sentiment_items,
        close,
        rsi_14,
        macd,
        volume,
        open,
        high,
        low,
        sma_20,
        sma_50,
        ema_12,
        ema_26,
        macd_signal,
        macd_histogram,
        bollinger_upper_20,
        bollinger_middle_20,
        bollinger_lower_20,
        atr_14,
        obv,
        return_1d,
        return_5d,
        return_20d,
        volatility_20d,
        {{- own_of_a_day() }}
        sentiment
    from scored

)

select * from final
