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
        ("import sys\nsys.exit(0)", "to load, found SystemExit: 0"),
        (CLEAN.replace("    bars =", "    raise SystemExit(0)\n    bars ="), "to return rows, found SystemExit: 0"),
        (CLEAN.replace(".assign(momentum=value)", ""), "expected at least one column of values of momentum"),
        ("import nothing_of_this_name", "to load, found ModuleNotFoundError"),
    ],
)
def test_a_file_that_declares_nothing_that_can_be_judged_or_does_not_load_is_refused(
    tmp_path: Path, text: str, said: str
):
    done = check(tmp_path, text)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    done = CliRunner().invoke(leaks, ["check", str(tmp_path / "none.py")])
    assert "expected a Python file, found" in str(done.exception)


def test_what_one_function_saw_does_not_hide_the_leak_of_the_next(tmp_path: Path):
    shared = """
SEEN = []

@feature
def innocent(world: World):
    bars = world.first_prints()
    if not SEEN or len(SEEN[0]) < len(bars):
        SEEN[:] = [bars]
    return bars[["symbol", "timestamp", "decision_at"]].assign(close=bars["close"])

@feature
def reads_it(world: World):
    innocent(world)
    later = SEEN[0].assign(value=SEEN[0].groupby("symbol")["close"].shift(-1))[["symbol", "timestamp", "value"]]
    bars = world.first_prints()[["symbol", "timestamp", "decision_at"]]
    return bars.merge(later, on=["symbol", "timestamp"], how="left")
"""
    done = check(tmp_path, CLEAN + shared)
    assert done.exit_code == 1, done.output
    assert "innocent (feature): no leak" in done.output
    assert "reads_it (feature): LEAK: value of" in done.output
    assert "keep nothing between calls" in done.output
