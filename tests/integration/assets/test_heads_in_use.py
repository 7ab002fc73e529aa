"""News is scored under every head that a feature definition in use reads, not under the champion alone."""

from __future__ import annotations

from typing import Any, cast

import psycopg
import pytest

from assets.sentiment import head_versions_in_use
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry

pytestmark = pytest.mark.engines


class ChampionIs:
    """A registry whose alias names one version."""

    def __init__(self, version: str) -> None:
        self.version = version

    def alias(self, name: str, alias: str) -> str:
        assert (name, alias) == ("sentiment-head", "champion")
        return self.version


def define(url: str, digit: str, parameters: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(
            "with w as (select raw.take_watermark('test') as watermark),"
            " d as (insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark)"
            " select repeat(%s, 64), 'features.daily', 'select', '{}', '{sentiment}', %s::jsonb, watermark from w"
            " returning definition, watermark)"
            " insert into features.definition_events (definition, status, watermark)"
            " select definition, 'active', watermark from d",
            (digit, parameters),
        )


def in_use(url: str, champion: str) -> list[str]:
    return head_versions_in_use(Warehouse(url), cast(ModelRegistry, cast(Any, ChampionIs(champion))))


def test_before_any_definition_the_champion_alone_scores(database_url: str) -> None:
    assert in_use(database_url, "1") == ["1"]


def test_a_definition_that_reads_an_older_head_keeps_that_head_in_use(database_url: str) -> None:
    define(database_url, "a", '{"scorer": "head", "scorer_version": "1"}')
    define(database_url, "b", '{"scorer": "head", "scorer_version": "2"}')
    define(database_url, "c", '{"scorer": "llm:other", "scorer_version": "9"}')
    assert in_use(database_url, "3") == ["3", "1", "2"]
    assert in_use(database_url, "2") == ["2", "1"]


def test_a_retired_definition_needs_no_more_scores(database_url: str) -> None:
    define(database_url, "a", '{"scorer": "head", "scorer_version": "1"}')
    with psycopg.connect(database_url) as conn:
        conn.execute("call features.retire(repeat('a', 64))")
    assert in_use(database_url, "2") == ["2"]
