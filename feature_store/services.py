"""A feature service: what a model takes as its input, by definition and not by name alone.

It travels with the registered model; training, backtest, services and replay read it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from feature_store.definitions import Definition, active, definition
from trading.errors import InputError

DAILY = "features.daily"
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
