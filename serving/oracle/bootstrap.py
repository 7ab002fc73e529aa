"""Puts the oracle together: the only place of this service that reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feature_store.store import FeatureStore
from serving.environment import positive_number, required
from serving.following import AliasFollower, VersionCache
from serving.oracle import metrics
from serving.oracle.deciding import Oracle
from serving.oracle.recording import Predictions
from serving.oracle.traders import RegisteredTraders, Trader
from serving.warehouse import WarehouseConnections
from trading.learners.environment import numeric_environment


@dataclass(frozen=True)
class OracleSettings:
    """What the oracle serves and from where.

    Attributes:
        postgres_url: The warehouse, libpq form.
        mlflow_url: The registry.
        model: The registered model.
        alias: What is followed.
        poll_seconds: How often the alias is read: a promotion is served this much later at most.
    """

    postgres_url: str
    mlflow_url: str
    model: str = "trader-daily"
    alias: str = "champion"
    poll_seconds: float = 2.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> OracleSettings:
        """Return the settings.

        Raises:
            InputError: a value is missing or is no number.
        """
        return cls(
            postgres_url=required(environ, "TRADELOOM_POSTGRES_URL"),
            mlflow_url=required(environ, "TRADELOOM_MLFLOW_URL"),
            model=environ.get("TRADELOOM_ORACLE_MODEL", cls.model),
            alias=environ.get("TRADELOOM_ORACLE_ALIAS", cls.alias),
            poll_seconds=positive_number(environ, "TRADELOOM_ALIAS_POLL_SECONDS", cls.poll_seconds),
        )


def assemble(settings: OracleSettings) -> Oracle:
    """Return the oracle; nothing is connected yet, so it can be made while every engine is gone."""
    traders = RegisteredTraders(settings.mlflow_url, settings.model)
    versions: VersionCache[Trader] = VersionCache(traders)
    warehouse = WarehouseConnections(settings.postgres_url, "tradeloom-oracle")
    environment = numeric_environment()
    return Oracle(
        traders=traders,
        versions=versions,
        follower=AliasFollower(traders, versions, settings.alias, settings.poll_seconds, metrics.swapped),
        store=FeatureStore(settings.postgres_url),
        warehouse=warehouse,
        environment=environment,
        predictions=Predictions.into(warehouse, environment),
    )
