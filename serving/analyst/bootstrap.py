"""Puts the analyst together: the only place of this service that reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feature_store.llm_calls import WarehouseCalls
from serving.analyst import metrics
from serving.analyst.heads import RegisteredHeads
from serving.analyst.judging import Analyst
from serving.analyst.recording import Scorings
from serving.environment import positive_number, required
from serving.following import AliasFollower, VersionCache
from serving.warehouse import WarehouseConnections
from trading.adapters.served_models import ServedModelIds
from trading.errors import InputError
from trading.learners.environment import numeric_environment
from trading.sentiment.llm import LlmScorer, LlmSettings
from trading.sentiment.scorers import HeadScorer


@dataclass(frozen=True)
class AnalystSettings:
    """What the analyst scores with and from where.

    Attributes:
        postgres_url: The warehouse, libpq form.
        mlflow_url: The registry.
        model: The registered sentiment head.
        alias: What is followed.
        poll_seconds: How often the alias is read.
        llm: The language model that scores instead of the head; None for the head.
    """

    postgres_url: str
    mlflow_url: str
    model: str = "sentiment-head"
    alias: str = "champion"
    poll_seconds: float = 2.0
    llm: LlmSettings | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> AnalystSettings:
        """Return the settings.

        Raises:
            InputError: a value is missing or wrong.
        """
        return cls(
            postgres_url=required(environ, "TRADELOOM_POSTGRES_URL"),
            mlflow_url=required(environ, "TRADELOOM_MLFLOW_URL"),
            model=environ.get("TRADELOOM_ANALYST_MODEL", cls.model),
            alias=environ.get("TRADELOOM_ANALYST_ALIAS", cls.alias),
            poll_seconds=positive_number(environ, "TRADELOOM_ALIAS_POLL_SECONDS", cls.poll_seconds),
            llm=_llm(environ),
        )


def assemble(settings: AnalystSettings) -> Analyst:
    """Return the analyst; nothing is connected yet, so it can be made while every engine is gone."""
    heads = RegisteredHeads(settings.mlflow_url, settings.model)
    versions: VersionCache[HeadScorer] = VersionCache(heads)
    calls = WarehouseCalls(settings.postgres_url)
    warehouse = WarehouseConnections(settings.postgres_url, "tradeloom-analyst")
    environment = numeric_environment()
    return Analyst(
        warehouse=warehouse,
        embeddings=heads.embeddings,
        versions=versions,
        follower=AliasFollower(heads, versions, settings.alias, settings.poll_seconds, metrics.swapped),
        llm=None if settings.llm is None else LlmScorer(settings.llm, calls),
        environment=environment,
        scorings=Scorings(warehouse, versions, settings.model, environment, ServedModelIds(warehouse.connect)),
    )


def _llm(environ: Mapping[str, str]) -> LlmSettings | None:
    model = environ.get("TRADELOOM_LLM_MODEL")
    if not model:
        return None
    provider = environ.get("TRADELOOM_LLM_PROVIDER", "openai")
    if provider not in ("openai", "ollama"):
        raise InputError(f"expected openai or ollama as TRADELOOM_LLM_PROVIDER, found {provider!r}")
    return LlmSettings(
        model=model,
        provider="ollama" if provider == "ollama" else "openai",
        base_url=environ.get("TRADELOOM_LLM_URL") or None,
        api_key=environ.get("TRADELOOM_LLM_API_KEY") or None,
        timeout_seconds=positive_number(environ, "TRADELOOM_LLM_TIMEOUT_SECONDS", LlmSettings.timeout_seconds),
    )
