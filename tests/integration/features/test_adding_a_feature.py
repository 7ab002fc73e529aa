"""docs/adding-a-feature.md, followed word by word: its files, its lines and its commands, on a warehouse with bars."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from feature_store import build, definitions
from feature_store.services import service_of
from orchestration.cli import tradeloom
from orchestration.commands import feature_build, feature_registry
from trading.errors import ModelError

pytestmark = pytest.mark.engines

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "adding-a-feature.md").read_text()
DAYS = [day for n in range(75) if (day := date(2012, 3, 19) + timedelta(days=n)).weekday() < 5]


class NoModels:
    """A registry of models in which there is none yet."""

    def alias(self, name: str, alias: str) -> str:
        raise ModelError(f"expected {name}, found none")

    def names(self) -> list[str]:
        return []


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Return the page's SQL files: path -> content, each block under the last path named before it."""
    return dict(re.findall(r"`dbt/(macros/features/\w+\.sql)`:\n\n```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project to add features to, in the place of the checkout's."""
    copy = tmp_path / "dbt"
    shutil.copytree(build.DBT_PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(build, "DBT_PROJECT", copy)
    return copy


def close_of(day: date) -> int:
    return 100 + (7 * day.toordinal()) % 23


def bars(w: Any, days: list[date]) -> list[Any]:
    closes = [Decimal(close_of(day)) for day in days]
    return [w.Bar("AAPL", day, c, c + 2, c - 2, c, 10) for day, c in zip(days, closes, strict=True)]


@pytest.fixture
def user(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three months of a symbol, and a shell in which `tradeloom` finds them."""
    warehouse.publish("sample", bars(warehouse, DAYS))
    warehouse.advance()
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", warehouse.url)
    monkeypatch.setenv("TRADELOOM_MLFLOW_URL", "http://127.0.0.1:9")
    for command in (feature_build, feature_registry):
        monkeypatch.setattr(command, "_models", lambda endpoints: NoModels())
    return warehouse


def run(command: str) -> str:
    told = CliRunner().invoke(tradeloom, shlex.split(command)[1:], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def test_the_page_adds_a_feature(user: Any, project: Path) -> None:
    old = service_of(definitions.definition(user.url, user.active("features.daily")), "old")
    asked = ("AAPL", datetime(2012, 6, 1, 21, tzinfo=UTC))
    answered_before = user.store.row(old, *asked)

    (project / "macros" / "features").mkdir(exist_ok=True)
    for path, content in files().items():
        (project / path).write_text(content)
    with (project / "dbt_project.yml").open("a") as settings:
        settings.writelines(blocks("yaml"))
    (commands,) = blocks("sh")
    *_, answer = [run(command) for command in commands.splitlines()]

    (row,) = json.loads(answer)["rows"]
    width = row["bollinger_upper_20"] - row["bollinger_lower_20"]
    assert row["band_position"] == (row["close"] - row["bollinger_lower_20"]) / width
    assert row["highest_20"] == max(map(close_of, DAYS[-20:])) + 2
    assert row["definition"] == user.active("features.daily") != old.definition

    listed = json.loads(run("tradeloom features list --as-of 2012-06-04T20:30Z --json"))["features"]
    (mine,) = [one for one in listed if one["name"] == "band_position"]
    assert (mine["view"], mine["unit"], mine["warm_up_bars"], mine["age_sessions"]) == (
        "features.daily",
        "fraction",
        20,
        1,
    )
    assert (mine["since"], mine["source_file"]) == (row["definition"], "dbt/macros/features/band_position.sql")
    assert mine["null_share"] == 19 / len(DAYS)
    shown = json.loads(run("tradeloom features show highest_20 --json"))
    assert {one["view"]: one["expression"]["steps"]["highest_20"] for one in shown["features"]} == dict.fromkeys(
        ("features.daily", "marts.indicators"), "(max(high) over window_20)::double precision"
    )

    known: dict[str, Any] = {"postgres_url": user.url}
    (notebook,) = blocks("python")
    exec(notebook, known)  # the page's own words
    assert list(known["rows"]["band_position"].dropna())[-1:] == [known["rows"]["band_position"].iloc[-1]]
    assert len(known["rows"]) == 23
    known["store"].close()

    # New bars bring their own, one at a time as in one go.
    later = [day + timedelta(days=77) for day in DAYS[:3]]
    for day in later:
        user.publish("sample", bars(user, [day]))
        user.advance()
    newest = user.store.row(known["service"], "AAPL", datetime(2012, 7, 1, tzinfo=UTC))
    assert newest.timestamp.date() == later[-1]
    assert newest.values["highest_20"] == max(map(close_of, [*DAYS, *later][-20:])) + 2

    # The old definition answers as before, is kept up for who reads it, and computes its rows again.
    again = user.store.row(old, *asked)
    assert again == answered_before
    assert user.store.verify(again)
    where = (again.source, again.symbol, again.interval, again.timestamp, again.known_at, again.watermark)
    assert user.store.recompute(old.definition, *where).row_hash == again.row_hash


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        pytest.param(
            "- {name: band_position, over: rows}",
            "expected band_position to be over: bars or over: row, found 'rows'",
            marks=pytest.mark.long,
        ),
        ("- {name: band_position, over: row}", "expected dbt/macros/features/band_position.sql with a macro"),
    ],
)
def test_a_wrong_line_is_refused_in_one_line_that_says_what_to_write(
    empty_warehouse: Any, project: Path, line: str, refusal: str
) -> None:
    with (project / "dbt_project.yml").open("a") as settings:
        settings.write(f"    {line}\n")
    with pytest.raises(build.BuildError, match=re.escape(refusal)):
        build.dbt_build(empty_warehouse.url, arguments=("compile", "--select", "daily"), project=project)
