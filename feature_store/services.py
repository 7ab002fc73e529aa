"""A feature service: what a model takes as its input, by definition and not by name alone.

It travels with the registered model; training, backtest, services and replay read it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import errors as pg

from feature_store.definitions import Definition, active, definition
from feature_store.views import DAILY
from trading.adapters.postgres import connection
from trading.errors import InputError

DEFAULT_COLUMNS = ("close", "rsi_14", "macd", "volume", "sentiment")


@dataclass(frozen=True)
class FeatureService:
    """An ordered list of feature columns of one definition of one view.

    Attributes:
        definition: The definition's sha256 (hex): compiled SQL, functions and parameters.
        columns: The features in the model's order. The position is no feature: the caller puts it in.
        scorer, scorer_version: Whose news scores make the sentiment; part of the definition, repeated for readers.
    """

    name: str
    view: str
    definition: str
    columns: tuple[str, ...]
    scorer: str
    scorer_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the service as JSON can hold it."""
        return {**asdict(self), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> FeatureService:
        """Return the service that `to_dict` described.

        Raises:
            InputError: a field is missing.
        """
        try:
            texts = {name: str(given[name]) for name in ("name", "view", "definition", "scorer", "scorer_version")}
            return cls(columns=tuple(str(column) for column in given["columns"]), **texts)
        except KeyError as error:
            raise InputError(f"expected a feature service with {error.args[0]}, found {sorted(given)}") from error


def newest_service(
    url: str, name: str, *, view: str = DAILY, columns: tuple[str, ...] = DEFAULT_COLUMNS
) -> FeatureService:
    """Return a service on the view's active definition, the one that was built last.

    Raises:
        InputError: the definition lacks one of the columns, or the view was never built.
    """
    return service_of(definition(url, active(url, view)), name, columns)


def service_of(of: Definition, name: str, columns: tuple[str, ...] = DEFAULT_COLUMNS) -> FeatureService:
    """Return a service on a given definition.

    Raises:
        InputError: the definition lacks one of the columns.
    """
    if missing := [column for column in columns if column not in of.columns]:
        raise InputError(f"expected {of.view} to have {', '.join(missing)}, found {', '.join(of.columns)}")
    scorer, version = (str(of.parameters.get(key, "")) for key in ("scorer", "scorer_version"))
    return FeatureService(name, of.view, of.definition, columns, scorer, version)


def register(url: str, service: FeatureService) -> int:
    """Write a service into the registry and return its version of that name; the same again changes nothing.

    From then on its definition is kept up, until a newer version of the name is registered or the name is retired.

    Raises:
        InputError: its definition is not registered, or lacks one of its columns.
    """
    asked = (service.name, service.definition, list(service.columns), service.scorer, service.scorer_version)
    with connection(url) as conn:
        try:
            row = conn.execute("select features.register_service(%s, %s, %s, %s, %s)", asked).fetchone()
        except pg.InvalidParameterValue as error:
            raise InputError(str(error).splitlines()[0]) from error
    assert row is not None, "features.register_service answers with exactly one row"
    return int(row[0])


def retire(url: str, name: str) -> None:
    """Say that nobody takes the newest version of a service any more.

    Raises:
        InputError: there is no service of this name in use.
    """
    with connection(url) as conn:
        try:
            conn.execute("call features.retire_service(%s)", (name,))
        except pg.InvalidParameterValue as error:
            raise InputError(str(error).splitlines()[0]) from error
