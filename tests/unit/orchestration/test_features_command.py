"""`tradeloom features`: a time without a zone is refused with one that would do; commands under it are optional."""

from datetime import datetime

import pytest
from click.testing import CliRunner

from orchestration.asked_times import moment_of
from orchestration.commands.features import SUBCOMMANDS, features
from orchestration.doors import Door
from trading.errors import NaiveTimeError


@pytest.mark.parametrize("text", ["2012-06-01", "2012-06-01T10:00", "2012-06-01T10:00:30"])
def test_the_zone_that_is_offered_makes_the_time_readable(text: str):
    with pytest.raises(NaiveTimeError) as refused:
        moment_of(text)
    offered = str(refused.value).rpartition(" ")[2]
    assert datetime.fromisoformat(offered).tzinfo is not None


def test_without_a_command_symbols_are_asked_for():
    answered = CliRunner().invoke(features, [])
    assert (answered.exit_code, "Missing option '--symbols'" in answered.output) == (2, True)


def test_an_unknown_command_is_named():
    answered = CliRunner().invoke(features, ["lst"])
    assert (answered.exit_code, "No such command 'lst'" in answered.output) == (2, True)


def test_options_before_a_command_are_refused_not_ignored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SUBCOMMANDS, "list", Door("orchestration.commands.models", "models", "Any command will do."))
    answered = CliRunner().invoke(features, ["--symbols", "AAPL", "--as-of", "2012-06-01T10:00Z", "--json", "list"])
    assert answered.exit_code == 2
    assert "found --symbols, --as-of, --json" in " ".join(answered.output.split())


def test_a_command_is_listed_only_if_its_module_is_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SUBCOMMANDS, "soon", Door("orchestration.commands.soon", "soon", "Not yet."))
    assert "soon" not in CliRunner().invoke(features, ["--help"]).output
    assert CliRunner().invoke(features, ["soon"]).exit_code == 2
