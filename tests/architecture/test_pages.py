"""The pages say what the code says: rules, settings, commands, column names, and links that lead somewhere."""

import re
from pathlib import Path

import pytest

from orchestration.cli import COMMANDS
from serving.explanation.findings import MEANING
from trading.evaluation.gate import GateTerms
from trading.ingestion.payload import COLUMNS
from trading.quality.suites import RULES
from trading.windows import EMBARGO_SESSIONS, JUDGE_SESSIONS, MINIMUM_SESSIONS, REPLAY_SESSIONS, WARM_UP_SESSIONS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PACKAGES = ("orchestration", "assets", "serving", "feature_store", "trading", "infra", "dbt")


def page(name: str) -> str:
    return (DOCS / name).read_text()


def test_every_rule_of_the_gate_is_a_row_of_the_table_of_bad_rows():
    _, _, table = page("your-own-data.md").partition("## What becomes of a bad row")
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE))
    assert listed == RULES


def test_every_name_that_a_column_is_known_by_is_listed():
    told = page("your-own-data.md")
    names = {name for columns in COLUMNS.values() for usual in columns.values() for name in usual}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", told)] == []


def test_every_cause_of_a_difference_is_a_row_of_the_page_of_parity():
    _, _, table = page("parity.md").partition("## Causes")
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|$", table, re.MULTILINE))
    assert listed == {str(cause): meaning for cause, meaning in MEANING.items()}


def test_every_setting_of_the_code_is_listed():
    sources = [file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.suffix in (".py", ".yml")]
    kept = [file for file in sources if "target" not in file.parts]
    read = {name for file in kept for name in re.findall(r"TRADELOOM_[A-Z0-9_]*[A-Z0-9]", file.read_text())}
    assert sorted(read - set(re.findall(r"TRADELOOM_[A-Z0-9_]+", page("operations.md")))) == []


def test_the_windows_and_the_limit_of_the_gate_are_those_of_the_code():
    told = page("models-and-promotion.md")
    numbers = (REPLAY_SESSIONS, JUDGE_SESSIONS, MINIMUM_SESSIONS, WARM_UP_SESSIONS, GateTerms().minimum_bars)
    assert [number for number in numbers if not re.search(rf"\b{number}\b", told)] == []
    assert f"p <= {GateTerms().maximum_p_value:.2f}" in told
    assert EMBARGO_SESSIONS == 5
    assert "five sessions" in told


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(file: Path):
    named = re.findall(r"^(?:\$ )?tradeloom ([a-z-]+)|`tradeloom ([a-z-]+)", file.read_text(), re.MULTILINE)
    assert {one or other for one, other in named} <= COMMANDS.keys()


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(file: Path):
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        there = (file.parent / path) if path else file
        assert there.exists(), target
        assert not heading or heading in _headings(there), target


def _headings(file: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
