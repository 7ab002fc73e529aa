"""The one line that puts a definition under the leak gate: a decorator on a function of a `World`.

    @feature
    def momentum(world: World) -> DataFrame: ...        # symbol, timestamp, numbers

The function stays what it was. What each kind promises:

    feature, series   a row rests on what was known when its bar was (or at its own column `decision_at`)
    label             the same, but `horizon` bars later
    normalisation     f(world, fitted_until): statistics of rows known by then, applied to all rows
    strategy          the decision as a feature; its column `price` is known only `horizon` bars after the decision
    split             its column `part` is `train` or `test`, and training ends before testing begins
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trading.errors import InputError
from trading.leaks.world import SHAPES

if TYPE_CHECKING:
    from pandas import DataFrame

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__leak_declaration__"
KINDS = ("feature", "label", "normalisation", "series", "strategy", "split")


@dataclass(frozen=True)
class Declared:
    """A function under the gate.

    Attributes:
        horizon: In bars: how far a label looks ahead, or how much later than its decision an order fills.
        inputs: The inputs it reads; it is handed no others.
    """

    name: str
    kind: str
    function: Callable[..., DataFrame]
    horizon: int
    inputs: tuple[str, ...]


def feature(function: Function | None = None, *, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare a feature: a row uses nothing that became known after its decision."""
    return _declare("feature", function, 0, inputs)


def series(function: Function | None = None, *, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare an adjusted series that something learns from; judged like a feature."""
    return _declare("series", function, 0, inputs)


def label(function: Function | None = None, *, horizon: int = 1, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare a label: what became of a row within `horizon` bars, and no later."""
    return _declare("label", function, horizon, inputs)


def normalisation(function: Function | None = None, *, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare a scaler f(world, fitted_until): fitted on what was known by then."""
    return _declare("normalisation", function, 0, inputs)


def strategy(function: Function | None = None, *, horizon: int = 1, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare decisions with the `price` that each was filled at, `horizon` bars later (1: the next bar)."""
    return _declare("strategy", function, horizon, inputs)


def split(function: Function | None = None, *, horizon: int = 1, inputs: tuple[str, ...] = tuple(SHAPES)) -> Any:
    """Declare which rows train and which test; `horizon` is that of the label."""
    return _declare("split", function, horizon, inputs)


def declaration_of(value: Any) -> Declared | None:
    """Return the declaration of a function, or None if it has none."""
    found = getattr(value, MARK, None)
    return found if isinstance(found, Declared) else None


def _declare(kind: str, function: Function | None, horizon: int, inputs: tuple[str, ...]) -> Any:
    if unknown := sorted(set(inputs) - set(SHAPES)):
        raise InputError(f"expected inputs of {', '.join(SHAPES)}, found {', '.join(unknown)}")
    if horizon < 0 or (kind in ("label", "strategy") and horizon < 1):
        raise InputError(f"expected a horizon of at least 1 bar for a {kind}, found {horizon}")

    def declared(given: Function) -> Function:
        setattr(given, MARK, Declared(given.__name__, kind, given, horizon, inputs))
        return given

    return declared if function is None else declared(function)
