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
from typing import TYPE_CHECKING, Any, TypeVar, overload

from trading.errors import InputError
from trading.leaks.world import SHAPES

if TYPE_CHECKING:
    from pandas import DataFrame

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__leak_declaration__"


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


class Declaration:
    """A decorator of one kind, used bare or with its terms: `@label` or `@label(horizon=5)`.

    `horizon` is in bars: how far a label looks ahead, how much later an order fills. `inputs` are the frames of the
    world that the function is handed; all of them by default.
    """

    def __init__(self, kind: str, horizon: int) -> None:
        self.kind = kind
        self.horizon = horizon

    @overload
    def __call__(self, function: Function, /) -> Function: ...

    @overload
    def __call__(
        self, *, horizon: int | None = None, inputs: tuple[str, ...] = tuple(SHAPES)
    ) -> Callable[[Function], Function]: ...

    def __call__(
        self,
        function: Function | None = None,
        *,
        horizon: int | None = None,
        inputs: tuple[str, ...] = tuple(SHAPES),
    ) -> Function | Callable[[Function], Function]:
        """Declare a function.

        Raises:
            InputError: an input that no world has, or a horizon that its kind cannot have.
        """
        bars = self.horizon if horizon is None else horizon
        if unknown := sorted(set(inputs) - set(SHAPES)):
            raise InputError(f"expected inputs of {', '.join(SHAPES)}, found {', '.join(unknown)}")
        if bars < self.horizon or (bars and not self.horizon):
            least = f"of at least {self.horizon} bar" if self.horizon else "of 0: it has none"
            raise InputError(f"expected a horizon {least} for a {self.kind}, found {bars}")

        def declared(given: Function) -> Function:
            setattr(given, MARK, Declared(given.__name__, self.kind, given, bars, inputs))
            return given

        return declared if function is None else declared(function)


feature = Declaration("feature", 0)
series = Declaration("series", 0)
normalisation = Declaration("normalisation", 0)
label = Declaration("label", 1)
strategy = Declaration("strategy", 1)
split = Declaration("split", 1)


def declaration_of(value: Any) -> Declared | None:
    """Return the declaration of a function, or None if it has none."""
    found = getattr(value, MARK, None)
    return found if isinstance(found, Declared) else None
