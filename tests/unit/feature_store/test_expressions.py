"""How a column comes about is read off the SQL, step by step; SQL of another form gives no answer, not a wrong one."""

import pytest

from feature_store.expressions import expression_of

SQL = """
-- a comment, with a comma
with pending as (

    select * from working

),

adjusted as materialized (

    select
        symbol,
        (close * factor)::double precision as close
    from pending

),

stepped as (

    select
        *,
        lag(close, 1) over series as close_before,
        sum(case when close > 1, 2 then close end) over window_2 / 2.0 as mean_2,
        news.score as mood,
        'from, as x' as word
    from adjusted
    cross join lateral features.score_v1(adjusted.symbol, 'a,b') as news
    window
        series as (partition by symbol order by timestamp),
        window_2 as (series rows between 1 preceding and current row)

),

final as (

    select
        symbol,
        close,
        mean_2 as average,
        mood,
        word,
        case when close_before > 0 then close / close_before - 1 end as change
    from stepped

)

select * from final
"""
SERIES = "(partition by symbol order by timestamp)"
CLOSE = "(close * factor)::double precision"


@pytest.mark.parametrize(
    ("column", "expression", "steps"),
    [
        ("close", CLOSE, {}),
        (
            "change",
            "case when close_before > 0 then close / close_before - 1 end",
            {"close_before": "lag(close, 1) over series", "close": CLOSE, "series": SERIES},
        ),
        (
            "average",
            "sum(case when close > 1, 2 then close end) over window_2 / 2.0",
            {"close": CLOSE, "window_2": "(series rows between 1 preceding and current row)", "series": SERIES},
        ),
        ("mood", "news.score", {"news": "features.score_v1(adjusted.symbol, 'a,b')"}),
        ("word", "'from, as x'", {}),
    ],
)
def test_a_column_is_followed_to_what_it_rests_on(column: str, expression: str, steps: dict[str, str]):
    found = expression_of(SQL, column)
    assert found is not None
    assert (found.sql, found.steps) == (expression, steps)


@pytest.mark.parametrize(
    ("sql", "column"), [(SQL, "unheard_of"), (SQL, "symbol"), ("select 1 as one", "one"), ("not SQL (", "one")]
)
def test_what_cannot_be_read_is_not_guessed(sql: str, column: str):
    assert expression_of(sql, column) is None
