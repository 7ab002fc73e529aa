"""The ageing test: whatever happens to data, models, definitions and engines, what was decided replays and explains itself.

It guards the one promise that every later change can break. Each step is checked where it stands, so that a failure
names the change that broke it.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from desk import SYMBOLS

from feature_store.build import DBT_PROJECT
from serving.explanation.explain import explain_fills
from serving.explanation.replay import replay
from trading.sentiment.head import HeadConfig

pytestmark = pytest.mark.engines
REVISED = {
    "symbol": "MSFT",
    "timestamp": "2012-02-08",
    "open": "30.26",
    "high": "31.00",
    "low": "30.00",
    "close": "30.90",
    "volume": "49659100",
}
PRICE_COLUMNS = tuple(REVISED)
LATE = {
    "symbol": "IBM",
    "timestamp": "2012-03-15",
    "open": "204.51",
    "high": "206.00",
    "low": "204.00",
    "close": "205.80",
    "volume": "3753000",
}
BACK_DATED = {
    "id": "late-1",
    "published_at": "2012-02-10",
    "symbols": "AAPL",
    "headline": "A court found that the company infringed a rival's patents and ordered damages",
    "url": "",
}


def test_earlier_decisions_replay_identically_whatever_happens_later(desk, tmp_path):
    first = desk.rows("select decision_id, row_hash from trading.decisions order by 1")
    first_definition = desk.rows("select distinct definition from trading.decisions where definition is not null")
    _holds(desk, len(first))

    revised = desk.deliver("revised.csv", "prices", PRICE_COLUMNS, [REVISED], mode="live", now=_july(3))
    assert revised.rows_published == 1
    _holds(desk, len(first))
    late = desk.deliver("late.csv", "prices", PRICE_COLUMNS, [LATE], mode="live", now=_july(4))
    assert late.rows_published == 1
    _holds(desk, len(first))
    headline = desk.deliver("news_late.csv", "news", tuple(BACK_DATED), [BACK_DATED], mode="live", now=_july(5))
    assert headline.rows_published == 1
    _holds(desk, len(first))

    _actions_and_members_become_known(desk, len(first))
    _bars_are_recalled_and_versions_compacted(desk, len(first))

    head_version = desk.train_head(HeadConfig(embedding_scale=0.2))
    assert head_version == "2"
    _holds(desk, len(first))

    desk.build(head_version, _changed_project(tmp_path), "--full-refresh")
    _holds(desk, len(first))

    desk.down()
    desk.up()
    _holds(desk, len(first))

    desk.register_rule()
    report = desk.trade("second")
    print(f"{report.decisions / report.seconds:.0f} decisions per second")  # noqa: T201
    assert report.model_version == "2"
    second = desk.rows("select distinct definition from trading.decisions where session_id = %s", report.session_id)
    assert second != first_definition
    assert desk.rows(
        "select count(*) from features.daily where definition = %s and macd_gap is not null", *second[0]
    ) > [(0,)]
    _holds(desk, len(first) + report.decisions)
    assert _only(desk.replayed("decision", "--all"), "identical")
    assert _only(desk.explained("fill", "--all"), "verified")
    assert set(first) <= set(desk.rows("select decision_id, row_hash from trading.decisions"))


def _actions_and_members_become_known(desk, decisions: int) -> None:
    """A split that nobody had told of and its withdrawal, a dividend, a renaming, a delisting, members of a universe."""
    kinds = ("symbol", "kind", "ex_date", "ratio", "amount", "new_symbol")
    changes = [
        {"symbol": "MSFT", "kind": "split", "ex_date": "2012-04-02", "ratio": "2"},
        {"symbol": "MSFT", "kind": "split", "ex_date": "2012-04-02", "ratio": "1"},
        {"symbol": "IBM", "kind": "dividend", "ex_date": "2012-05-08", "amount": "0.85"},
        {"symbol": "GOOG", "kind": "symbol_change", "ex_date": "2012-06-25", "new_symbol": "GOOGL"},
        {"symbol": "AAPL", "kind": "delisting", "ex_date": "2012-06-26"},
    ]
    for place, change in enumerate(changes):
        report = desk.deliver(f"action_{place}.csv", "actions", kinds, [change], mode="live", now=_july(6 + place))
        assert report.rows_published == 1
    members = [{"universe": "big", "symbol": symbol, "date": "2012-03-01", "member": "true"} for symbol in SYMBOLS]
    assert desk.deliver("members.csv", "universe", tuple(members[0]), members, now=_july(12)).rows_published == 4
    _holds(desk, decisions)


def _bars_are_recalled_and_versions_compacted(desk, decisions: int) -> None:
    """The same bar is revised twice more, others are recalled; then what only the past asked for is taken away."""
    for place, close in enumerate(("30.70", "30.80")):
        again = {**REVISED, "close": close}
        report = desk.deliver(
            f"again_{place}.csv", "prices", PRICE_COLUMNS, [again], mode="live", now=_july(13 + place)
        )
        assert report.rows_published == 1
    reached = json.loads(
        desk.command("blast-radius", "--symbol", "MSFT", "--from", "2012-02-08", "--to", "2012-02-08", "--json")
    )
    assert reached
    desk.command("recall", "--symbol", "IBM", "--from", "2012-03-01", "--to", "2012-03-02", "--reason", "a bad tape")
    _holds(desk, decisions)
    compacted = json.loads(desk.command("features", "compact", "--older-than", "0", "--json"))
    assert sum(one["row_count"] for one in compacted["definitions"]) > 100
    _holds(desk, decisions)
    desk.command(
        "recall",
        "--withdraw",
        "--symbol",
        "IBM",
        "--from",
        "2012-03-01",
        "--to",
        "2012-03-02",
        "--reason",
        "it was good",
    )
    assert "superseded rows: features.daily" in desk.command("doctor")


def _holds(desk, count: int) -> None:
    """Every decision so far replays identically and every fill verifies."""
    with desk.sources() as sources:
        replayed, explained = replay(sources, None), explain_fills(sources, None)
    assert len(replayed) == count
    assert [one for one in replayed if not one.identical] == []
    assert [one.problems for one in explained if not one.is_verified] == []
    assert len(explained) >= 5


def _only(found: list[dict[str, Any]], good: str) -> bool:
    return bool(found) and all(one[good] for one in found)


def _changed_project(folder: Path) -> Path:
    """Return a copy of the dbt project with another SMA 20 and one more feature column."""
    project = folder / "dbt"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    indicators, daily = project / "models/marts/indicators.sql", project / "models/features/daily.sql"
    old, new = (f"case when state[1] >= {bars} then state[12] / 20.0" for bars in (20, 21))
    _edit(indicators, old, new)
    _edit(daily, "        macd,\n", "        macd,\n        macd - macd_signal as macd_gap,\n")
    return project


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def _july(day: int) -> datetime:
    return datetime(2012, 7, day, 12, tzinfo=UTC)
