"""Verdicts, the ledger and the alias: each verdict is kept once, the alias follows the ledger, a rollback stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from click.testing import CliRunner

from assets.promotion import promotion
from orchestration.commands import models as commands
from trading.adapters.postgres import Warehouse
from trading.adapters.promotions import Promotion, align_alias, promotions, record_promotion
from trading.errors import ModelError
from trading.evaluation.verdicts import VERDICT_TAG, Judged
from trading.learners.model_card import ModelCard

pytestmark = pytest.mark.engines
SLOT = "trader-daily"


class Registry:
    """Versions 1 (the rule), 2 and 3 of one slot; aliases in memory."""

    def __init__(self) -> None:
        self.aliases = {"champion": "1", "challenger": "2"}
        self.tags: dict[str, dict[str, str]] = {"1": {}, "2": {}, "3": {}}
        self.is_gone = False

    def judged(self, champion: str, challenger: str, *, promoted: bool) -> None:
        verdict = Judged(champion, challenger, promoted, () if promoted else ("BEATS_HOLDING: no",), {})
        self.tags[challenger][VERDICT_TAG] = verdict.to_tag()

    def alias(self, name: str, alias: str) -> str:
        return self.aliases[alias]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        if self.is_gone:
            raise ModelError("gone")
        self.aliases[alias] = version

    def card(self, name: str, version: str) -> ModelCard:
        return ModelCard(kind="k", weights_sha256="0")

    def versions(self, name: str) -> list[Any]:
        return [
            SimpleNamespace(name=name, version=version, tags=tags, aliases=()) for version, tags in self.tags.items()
        ]


@pytest.fixture
def registry(database_url: str) -> Registry:
    with psycopg.connect(database_url) as conn:
        record_promotion(conn, Promotion(SLOT, "champion", None, "1", "baseline", "the slot starts with a rule"))
    return Registry()


@pytest.fixture
def command(database_url: str, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def engines() -> Iterator[Any]:
        with psycopg.connect(database_url) as conn:
            yield conn, registry

    monkeypatch.setattr(commands, "_engines", engines)

    def run(*words: str) -> Any:
        done = CliRunner().invoke(commands.models, [*words, "--json"], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return json.loads(done.output)

    return run


def promote_asset(url: str, registry: Registry) -> None:
    promotion(warehouse=Warehouse(url), registry=cast(Any, registry))


def ledger(url: str) -> list[tuple[str | None, str, str]]:
    with psycopg.connect(url) as conn:
        return [(one.from_version, one.to_version, one.verdict) for one in reversed(promotions(conn, SLOT, "champion"))]


def test_refusal_is_kept_once_and_moves_nothing(database_url: str, registry: Registry) -> None:
    registry.judged("1", "2", promoted=False)
    promote_asset(database_url, registry)
    promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "1"
    assert ledger(database_url) == [(None, "1", "baseline"), ("1", "2", "refused")]


def test_killed_between_ledger_and_alias_the_next_run_moves_the_alias(database_url: str, registry: Registry) -> None:
    registry.judged("1", "2", promoted=True)
    registry.is_gone = True
    with pytest.raises(ModelError):
        promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "1"
    registry.is_gone = False
    promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "2"
    assert ledger(database_url) == [(None, "1", "baseline"), ("1", "2", "promoted")]


def test_rollback_stays_when_everything_runs_again(database_url: str, registry: Registry, command: Any) -> None:
    registry.judged("1", "2", promoted=True)
    promote_asset(database_url, registry)
    assert command("rollback", SLOT, "--reason", "it lost") == {"name": SLOT, "champion": "1", "changed": True}
    promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "1"
    assert ledger(database_url)[-1] == ("2", "1", "rolled_back")


def test_rolled_back_twice_it_goes_back_two_champions(database_url: str, registry: Registry, command: Any) -> None:
    registry.judged("1", "2", promoted=True)
    promote_asset(database_url, registry)
    registry.aliases["challenger"] = "3"
    registry.judged("2", "3", promoted=True)
    promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "3"
    assert command("rollback", SLOT, "--reason", "x")["champion"] == "2"
    assert command("rollback", SLOT, "--reason", "x")["champion"] == "1"
    with pytest.raises(ModelError, match="nothing to go back to"):
        command("rollback", SLOT, "--reason", "x")


def test_refused_verdict_after_a_rollback_keeps_the_champion(
    database_url: str, registry: Registry, command: Any
) -> None:
    registry.judged("1", "2", promoted=True)
    promote_asset(database_url, registry)
    command("rollback", SLOT, "--reason", "x")
    registry.aliases["challenger"] = "3"
    registry.judged("1", "3", promoted=False)
    promote_asset(database_url, registry)
    assert registry.aliases["champion"] == "1"


def test_command_promotes_only_on_a_verdict_against_the_present_champion(
    database_url: str, registry: Registry, command: Any
) -> None:
    with pytest.raises(ModelError, match="has not judged it"):
        command("promote", SLOT, "--version", "2")
    registry.judged("1", "2", promoted=False)
    with pytest.raises(ModelError, match="BEATS_HOLDING"):
        command("promote", SLOT, "--version", "2")
    registry.judged("2", "3", promoted=True)
    with pytest.raises(ModelError, match="has not judged it against version 1"):
        command("promote", SLOT, "--version", "3")
    assert registry.aliases["champion"] == "1"
    registry.judged("1", "2", promoted=True)
    assert command("promote", SLOT, "--version", "2")["champion"] == "2"
    assert command("promote", SLOT, "--version", "2")["changed"] is False
    assert command("rollback", SLOT, "--reason", "x")["champion"] == "1"
    assert command("promote", SLOT, "--version", "2")["champion"] == "2"
    with psycopg.connect(database_url) as conn:
        assert align_alias(conn, registry, SLOT, "champion") == "2"
