"""What assets are handed: domain objects, made from this process's environment, the only place of the wiring to read it.

Assets take plain objects (`Warehouse`, `ObjectStore`, `ModelRegistry`, ...), so that a test passes its own. Nothing
connects here: each object connects when it is used.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.paper import PaperDesk
from assets.parity import ParityMeter
from assets.scope import MarketScope
from orchestration.paper_desk import LoopDesk
from orchestration.parity_meter import OfflineParity
from serving.trading_loop.bootstrap import LoopSettings
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry
from trading.errors import EngineUnavailableError


@dg.resource(description="PostgreSQL: TRADELOOM_POSTGRES_URL.")
def warehouse(_context: dg.InitResourceContext) -> Warehouse:
    """Return the warehouse; no connection is opened."""
    return Warehouse(_required("TRADELOOM_POSTGRES_URL"))


@dg.resource(description="The S3 object store: TRADELOOM_S3_ENDPOINT and its keys.")
def payloads(_context: dg.InitResourceContext) -> ObjectStore:
    """Return the store; no connection is opened."""
    return ObjectStore(
        _required("TRADELOOM_S3_ENDPOINT"),
        _required("TRADELOOM_S3_ACCESS_KEY"),
        _required("TRADELOOM_S3_SECRET_KEY"),
        os.environ.get("TRADELOOM_S3_BUCKET", "tradeloom"),
    )


@dg.resource(description="The MLflow server: TRADELOOM_MLFLOW_URL.")
def registry(_context: dg.InitResourceContext) -> ModelRegistry:
    """Return the registry; no connection is opened."""
    return ModelRegistry(_required("TRADELOOM_MLFLOW_URL"))


@dg.resource(description="The trading loop on the paper broker, with its oracle and analyst.")
def desk(_context: dg.InitResourceContext) -> PaperDesk:
    """Return the desk."""
    return LoopDesk(LoopSettings.from_environment(os.environ))


@dg.resource(description="Computes again offline what was served.")
def parity_meter(_context: dg.InitResourceContext) -> ParityMeter:
    """Return the meter; nothing is connected."""
    return OfflineParity(
        Warehouse(_required("TRADELOOM_POSTGRES_URL")), ModelRegistry(_required("TRADELOOM_MLFLOW_URL"))
    )


@dg.resource(description="The folder of reports, in TRADELOOM_HOME.")
def reports(_context: dg.InitResourceContext) -> Path:
    """Return the folder; writing creates it."""
    return Path(_required("TRADELOOM_HOME")) / "reports"


@dg.resource(description="Addresses and credentials of vendors: the environment, handed on and never shown.")
def vendor_environment(_context: dg.InitResourceContext) -> Mapping[str, str]:
    """Return this process's environment, of which a vendor reads the variables that it declares."""
    return os.environ


def resources() -> dict[str, Any]:
    """Return the resources by the names under which assets ask for them."""
    return {
        "scope": MarketScope.configure_at_launch(),
        "warehouse": warehouse,
        "payloads": payloads,
        "registry": registry,
        "desk": desk,
        "parity_meter": parity_meter,
        "reports": reports,
        "vendor_environment": vendor_environment,
    }


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise EngineUnavailableError(f"expected {name}, found nothing; start the engines with `tradeloom up`")
    return value
