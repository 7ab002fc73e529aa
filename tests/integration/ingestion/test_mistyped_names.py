"""A mistyped source, symbol or interval is refused with the names there are: it is no answer that nothing was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from orchestration.cli import tradeloom
from trading.errors import InputError

pytestmark = pytest.mark.engines


def test_a_name_that_nothing_has_is_refused_with_the_names_there_are(
    deliver: Callable[..., Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver("AAA,2024-05-31,1,1,1,1,1", "BBB,2024-05-31,1,1,1,1,1")
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(tradeloom, arguments, catch_exceptions=False, standalone_mode=False)
        return done.output

    sources, symbols = "one of files, sample; found 'nope'", "found 'ZZZ'; known: AAA, AAPL, BBB, FB, GOOG, IBM, MSFT$"
    for arguments, words in (
        (["blast-radius", "--symbol", "ZZZ"], symbols),
        (["blast-radius", "--symbol", "AAA", "--source", "nope"], sources),
        (["features", "--symbols", "AAA", "--source", "nope"], sources),
        (["features", "bars", "--symbols", "ZZZ"], symbols),
        (["features", "bars", "--symbols", "AAA,ZZZ"], symbols),
        (["features", "bars", "--symbols", "AAA", "--source", "nope"], sources),
        (["features", "bars", "--symbols", "AAA", "--interval", "7x"], "such as 1m, .* found '7x'"),
        (["features", "bars", "--symbols", "AAA", "--interval", "7m"], "bars of AAA, found '7m'; known: 1d$"),
    ):
        with pytest.raises(InputError, match=words):
            run(*arguments)
    assert "AAA      2024-05-31" in run("features", "bars", "--symbols", "AAA,BBB", "--source", "files")
    # An instrument of the sample, whose prices are not there yet, is no mistake.
    assert run("features", "bars", "--symbols", "IBM").startswith("no 1d bars of IBM were known")
    assert run("features", "bars", "--symbols", "AAA", "--source", "sample").startswith("no 1d bars of AAA were known")
