"""After the close of each session one run, and none on a day without a session; ticks of UTC against known hours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import dagster as dg
import pytest

from orchestration import daily
from orchestration.daily import HALF_HOURS, daily_schedule, schedule_name
from orchestration.definitions import defs
from orchestration.jobs import daily_update
from trading import closed_sessions
from trading.adapters.followed import Followed
from trading.calendar import Session, exchange_sessions
from trading.closed_sessions import last_settled

SETTLING = timedelta(minutes=30)
YAHOO = Followed("yfinance", "1d", {"prices": ["AAPL", "MSFT"], "actions": ["AAPL"]})
KRAKEN = Followed("ccxt:kraken", "1h", {"prices": ["BTC/USD"]})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@cache
def sessions_of_the_year(calendar: str) -> list[Session]:
    return exchange_sessions(calendar, date(2025, 12, 1), date(2027, 1, 2))


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        closed_sessions,
        "exchange_sessions",
        lambda name, start, end: [one for one in sessions_of_the_year(name) if start <= one.session_date <= end],
    )


class NoWarehouse:
    @contextmanager
    def connection(self) -> Iterator[None]:
        yield None


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tick a calendar's schedule; `series` is what is followed, `calendars` those of instruments."""
    monkeypatch.setattr(daily, "instrument_calendars", lambda conn: ["24/7", "XNYS"])
    monkeypatch.setattr(daily, "has_sentiment_head", lambda conn: True)

    def ticked(calendar: str, moment: datetime, series: list[Followed], instance: dg.DagsterInstance) -> list[Any]:
        monkeypatch.setattr(daily, "followed", lambda conn, calendar, since: series)
        context = dg.build_schedule_context(
            instance, moment, repository_def=defs.get_repository_def(), resources={"warehouse": NoWarehouse()}
        )
        data = daily_schedule(calendar, daily_update).evaluate_tick(context)
        return [*(data.run_requests or []), *([data.skip_message] if data.skip_message else [])]

    return ticked


@pytest.mark.parametrize(
    ("calendar", "moment", "session", "why"),
    [
        ("XNYS", utc(2026, 11, 20, 21, 5), date(2026, 11, 19), "five minutes after the close is too early"),
        ("XNYS", utc(2026, 11, 20, 21, 35), date(2026, 11, 20), "the close is at 21:00 in winter"),
        ("XNYS", utc(2026, 7, 1, 20, 5), date(2026, 6, 30), ""),
        ("XNYS", utc(2026, 7, 1, 20, 35), date(2026, 7, 1), "and at 20:00 in summer"),
        ("XNYS", utc(2026, 3, 6, 20, 35), date(2026, 3, 5), "the Friday before the clocks change"),
        ("XNYS", utc(2026, 3, 9, 20, 35), date(2026, 3, 9), "the Monday after"),
        ("XNYS", utc(2026, 11, 26, 22, 5), date(2026, 11, 25), "Thanksgiving"),
        ("XNYS", utc(2026, 11, 27, 18, 35), date(2026, 11, 27), "the half day after it ends at 18:00"),
        ("XNYS", utc(2026, 11, 22, 12, 5), date(2026, 11, 20), "a Sunday"),
        ("XLON", utc(2026, 12, 24, 13, 5), date(2026, 12, 24), "London closes at 12:30 on Christmas Eve"),
        ("XLON", utc(2026, 12, 28, 17, 5), date(2026, 12, 24), "and stays closed until the 29th"),
        ("XTKS", utc(2026, 11, 20, 7, 5), date(2026, 11, 20), "Tokyo closes at 06:30"),
        ("XTKS", utc(2026, 5, 6, 7, 5), date(2026, 5, 1), "the golden week"),
        ("24/7", utc(2026, 11, 22, 0, 35), date(2026, 11, 21), "a Saturday ends at midnight"),
        ("24/7", utc(2026, 11, 22, 0, 5), date(2026, 11, 20), ""),
    ],
)
def test_the_session_is_the_last_one_that_closed_half_an_hour_ago(
    calendar: str, moment: datetime, session: date, why: str
) -> None:
    found = last_settled(calendar, moment, SETTLING)
    assert found is not None
    assert found.session_date == session, why


@pytest.mark.parametrize(
    ("calendar", "sessions", "rare"),
    [
        # 261 weekdays without ten holidays; half days on 27 November and 24 December.
        ("XNYS", 251, {"2026-11-27": "18:35", "2026-12-24": "18:35", "2026-03-06": "21:35", "2026-03-09": "20:35"}),
        ("24/7", 365, {"2026-11-21": "00:35", "2026-12-25": "00:35"}),
    ],
)
def test_over_a_year_of_ticks_each_session_is_due_once_right_after_its_close(
    calendar: str, sessions: int, rare: dict[str, str]
) -> None:
    year = sessions_of_the_year(calendar)
    due: dict[str, datetime] = {}
    moment = utc(2026, 1, 1, 21, 5)
    while moment < utc(2027, 1, 1, 21):
        session = last_settled(calendar, moment, SETTLING)
        assert session is not None
        due.setdefault(f"{session.session_date}", moment)
        assert moment - due[f"{session.session_date}"] < timedelta(days=4, hours=3), "the longest weekend"
        moment += timedelta(minutes=30)
    of_2026 = {day: at for day, at in due.items() if day.startswith("2026")}
    assert len(of_2026) == sessions
    assert {day: f"{of_2026[day]:%H:%M}" for day in rare} == rare
    closes = {f"{one.session_date}": one.closes_at for one in year}
    assert all(SETTLING <= at - closes[day] <= timedelta(hours=1, minutes=5) for day, at in of_2026.items())


def test_a_session_has_one_run_and_none_on_a_day_without_a_session(tick: Any) -> None:
    with dg.instance_for_test() as instance:
        (request,) = tick("XNYS", utc(2026, 11, 25, 21, 35), [YAHOO], instance)
        instance.create_run_for_job(dg.GraphDefinition(name="done").to_job(), tags=dict(request.tags))
        for moment in (utc(2026, 11, 25, 22, 5), utc(2026, 11, 26, 21, 35), utc(2026, 11, 27, 18, 5)):
            assert tick("XNYS", moment, [YAHOO], instance) == ["XNYS 2026-11-25 has its run"]
        (request,) = tick("XNYS", utc(2026, 11, 28, 3, 5), [YAHOO], instance)  # the daemon was off at the close
    assert request.run_key == "XNYS 2026-11-27 yfinance 1d"


def test_the_ticks_are_the_half_hours_of_utc() -> None:
    assert HALF_HOURS == "5,35 * * * *"
    for schedule in defs.schedules or []:
        assert schedule.execution_timezone == "UTC"  # type: ignore[union-attr]


def test_a_run_asks_each_vendor_for_what_was_asked_lately_and_goes_on_to_the_features(tick: Any) -> None:
    with dg.instance_for_test() as instance:
        yahoo, kraken = tick("XNYS", utc(2026, 12, 2, 21, 35), [YAHOO, KRAKEN], instance)
    assert (yahoo.run_key, kraken.run_key) == ("XNYS 2026-12-02 yfinance 1d", "XNYS 2026-12-02 ccxt:kraken 1h")
    # A week back: the month before is asked for as well.
    assert (yahoo.tags[daily.FIRST_KEY], yahoo.tags[daily.LAST_KEY]) == ("2026-11-01", "2026-12-01")
    keys = {key.to_user_string() for key in yahoo.asset_selection}
    wanted = {
        "vendor/yfinance_prices",
        "vendor/yfinance_actions",
        "raw/price_bars",
        "features/daily",
        "trading/parity_runs",
    }
    assert wanted <= keys
    assert not keys & {"vendor/alpaca_prices", "vendor/ccxt_prices", "raw/news_items", "models/trader_daily"}
    assert yahoo.run_config["ops"]["vendor__yfinance_prices"]["config"] == {
        "symbols": ["AAPL", "MSFT"],
        "interval": "1d",
        "variant": "",
        "calendar": "XNYS",
        "mode": "live",
        "since": "2026-11-25",
    }
    assert kraken.run_config["ops"]["vendor__ccxt_prices"]["config"]["variant"] == "kraken"
    for request in (yahoo, kraken):
        subset = defs.resolve_job_def("daily_update").get_subset(asset_selection=set(request.asset_selection))
        assert dg.validate_run_config(subset, request.run_config)
        after = subset.graph.dependency_structure
        assert after.all_upstream_outputs_from_node("prices")


def test_without_a_vendor_only_what_follows_runs_and_without_an_instrument_nothing(tick: Any) -> None:
    with dg.instance_for_test() as instance:
        (request,) = tick("XNYS", utc(2026, 12, 2, 21, 35), [], instance)
        assert {key.path[0] for key in request.asset_selection} == {
            "staging",
            "intermediate",
            "marts",
            "features",
            "trading",
        }
        assert tick("XLON", utc(2026, 12, 2, 21, 35), [], instance) == ["no instrument trades on XLON"]


def test_a_schedule_is_named_by_its_calendar() -> None:
    assert [schedule_name(name) for name in ("XNYS", "24/7")] == ["daily_update__XNYS", "daily_update__24_7"]
