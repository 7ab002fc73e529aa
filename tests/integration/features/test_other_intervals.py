"""Features of bars shorter than a day are read by their interval; an interval without bars is named, not answered empty."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestration.cli import tradeloom
from trading.errors import InputError

pytestmark = pytest.mark.engines

FIRST = date(2024, 1, 1)


@pytest.fixture
def shorter(warehouse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    w = warehouse
    prices = [Decimal(100 + n % 3) for n in range(16)]
    w.publish(
        "files", [w.Bar("AAA", FIRST + timedelta(days=n), *[p] * 4, 10) for n, p in enumerate(prices)], interval="5m"
    )
    w.advance()
    monkeypatch.setenv("TRADELOOM_HOME", str(tmp_path))
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", w.url)
    return w


def test_the_command_reads_the_indicators_of_the_interval_that_is_named(shorter: Any) -> None:
    words = ["features", "--symbols", "AAA", "--interval", "5m"]
    answer = json.loads(CliRunner().invoke(tradeloom, [*words, "--json"], catch_exceptions=False).stdout)
    ((timestamp, rsi),) = shorter.all(
        "select timestamp, rsi_14 from marts.indicators where interval = '5m' order by timestamp desc limit 1"
    )
    (row,) = answer["rows"]
    assert (row["timestamp"], row["rsi_14"], row["sma_20"]) == (timestamp.isoformat(), rsi, None)
    as_of = ["--as-of", "2024-01-10T00:00:00Z"]
    earlier = CliRunner().invoke(tradeloom, [*words, "--history", "--json", *as_of], catch_exceptions=False)
    assert len(json.loads(earlier.stdout)["rows"]) == 9
    told = CliRunner().invoke(tradeloom, [*words, *as_of], catch_exceptions=False).stdout
    assert told.startswith("AAA      2024-01-09T00:00  known ")


def test_an_interval_without_bars_is_refused_with_those_that_have_some(shorter: Any) -> None:
    refused = r"expected an interval with bars of AAA, found '{}'; known: 5m"
    for options, found in (([], "1d"), (["--interval", "1h", "--history"], "1h")):
        result = CliRunner().invoke(tradeloom, ["features", "--symbols", "AAA", *options])
        assert isinstance(result.exception, InputError)
        assert str(result.exception) == refused.format(found)
    store = shorter.store
    service = store.newest_service("x", ("close",), "marts.indicators")
    assert len(store.features(service, ["AAA"], interval="5m")) == 16
    with pytest.raises(InputError, match=refused.format("60m")):
        store.features(service, ["AAA"], interval="60m")
