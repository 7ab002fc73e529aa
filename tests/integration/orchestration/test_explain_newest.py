"""`tradeloom explain ... --last` where there is nothing yet, or where it is not clear what is meant."""

from __future__ import annotations

from typing import Any, cast

import psycopg
import pytest
from click.testing import CliRunner

from orchestration.commands.explain import explain
from serving.explanation.newest import newest_decision, newest_fill
from serving.explanation.replay import Sources
from trading.errors import InputError


@pytest.mark.engines
def test_where_nothing_was_traded_it_is_said_what_would_tell_why(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        sources = Sources(conn, *cast(Any, (None, None, None)))  # nothing else is asked
        with pytest.raises(
            InputError, match=r"expected a fill, found none; `tradeloom explain decision --last` says why"
        ):
            newest_fill(sources)
        with pytest.raises(InputError, match="expected a decision, found none; `tradeloom demo` runs two sessions"):
            newest_decision(sources)


@pytest.mark.parametrize("noun", ["fill", "decision"])
@pytest.mark.parametrize("words", [[], ["--last", "--all"], ["x-1", "--last"], ["x-1", "--all"]], ids=str)
def test_ids_or_the_last_or_all_are_asked_for_and_never_two_of_them(noun: str, words: list[str]) -> None:
    done = CliRunner().invoke(explain, [noun, *words])
    assert (done.exit_code, "give one or more ids, or --last, or --all" in done.output) == (2, True)
