"""`tradeloom leaks check FILE.py`: a file with one declared function is judged without any engine."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestration.commands.leaks import leaks
from trading.errors import InputError

CLEAN = """
from trading.leaks import World, feature

@feature
def momentum(world: World):
    bars = world.first_prints()
    value = bars.groupby("symbol")["close"].pct_change(5)
    return bars[["symbol", "timestamp", "decision_at"]].assign(momentum=value)
"""
LEAKY = CLEAN.replace("pct_change(5)", "shift(-1)")


def check(tmp_path: Path, text: str, *options: str):
    file = tmp_path / "mine.py"
    file.write_text(text)
    return CliRunner().invoke(leaks, ["check", str(file), *options])


def test_a_clean_file_passes(tmp_path: Path):
    done = check(tmp_path, CLEAN)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("momentum (feature): no leak; 1 columns")


def test_a_leak_ends_with_1_and_says_where_how_much_and_how_to_mend_it(tmp_path: Path):
    done = check(tmp_path, LEAKY)
    assert done.exit_code == 1
    assert "momentum (feature): LEAK: momentum of AAA at 2019-01-02" in done.output
    assert "no shift(-n)" in done.output


def test_json_says_the_same(tmp_path: Path):
    done = check(tmp_path, LEAKY, "--json")
    assert done.exit_code == 1
    told = json.loads(done.output)
    assert told["passed"] is False
    (finding,) = told["reports"][0]["findings"]
    assert (finding["column"], finding["kind"], finding["after"]) == ("momentum", "looks_ahead", None)
    assert finding["remedy"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "expected a function with a decorator of trading.leaks"),
        ("import nothing_of_this_name", "to load, found ModuleNotFoundError"),
    ],
)
def test_a_file_that_declares_nothing_or_does_not_load_is_refused(tmp_path: Path, text: str, said: str):
    done = check(tmp_path, text)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    done = CliRunner().invoke(leaks, ["check", str(tmp_path / "none.py")])
    assert "expected a Python file, found" in str(done.exception)
