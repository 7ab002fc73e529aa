"""A chart: its style, its one parameter, what it is fed, and the identity that follows from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

from trading.errors import InputError
from trading.identity import PRICE_SCALE, QUANTITY_SCALE, at_scale
from trading.intervals import Interval

Style = Literal["tick", "volume", "dollar", "range", "renko", "heikin_ashi", "time"]
STYLES: tuple[Style, ...] = get_args(Style)
TRADES = "trades"
# Styles that read a finer bar as one price, its close: in which order its high and low came is not known.
BY_PRICE = frozenset({"range", "renko"})
OVER_TIME = frozenset({"time", "heikin_ashi"})
_RULES = 1  # goes up when a style's bars change: another definition then, beside the old one
_SCALES: dict[Style, int] = {
    "tick": 0,
    "volume": QUANTITY_SCALE,
    "dollar": PRICE_SCALE + QUANTITY_SCALE,
    "range": PRICE_SCALE,
    "renko": PRICE_SCALE,
}
_LARGEST = Decimal(10) ** 12


@dataclass(frozen=True)
class Chart:
    """One way to cut a series into bars.

    Attributes:
        parameter: Prints in a bar (tick), size (volume), money (dollar), price (range, renko), or an interval's name
            (time, heikin_ashi); in its shortest text.
        fed: `trades`, or the interval of the finer bars that the chart is made from.
    """

    style: Style
    parameter: str
    fed: str = TRADES

    @classmethod
    def of(cls, style: str, parameter: str, fed: str = TRADES) -> Chart:
        """Return the chart that a user asks for, its words checked and in their shortest form.

        Raises:
            InputError: no such style, a parameter that the style cannot use, or no such input.
        """
        found = next((one for one in STYLES if one == style), None)
        if found is None:
            raise InputError(f"expected a chart style, one of {', '.join(STYLES)}; found {style!r}")
        if fed != TRADES:
            fed = Interval.parse(fed).name
        if found not in OVER_TIME:
            return cls(found, _shortest(found, parameter), fed)
        length = Interval.parse(parameter)
        if fed != TRADES and Interval.parse(fed).length >= length.length:
            raise InputError(f"expected bars finer than {length.name} for a chart over {length.name}, found {fed}")
        if fed != TRADES and length.is_intraday and length.length % Interval.parse(fed).length:
            raise InputError(f"expected bars that lie inside those of {length.name}, found {fed}: they lie in two")
        if fed == "1w":
            raise InputError(f"expected bars of a day or shorter for a chart over {length.name}, found {fed}")
        return cls(found, length.name, fed)

    @property
    def interval(self) -> Interval:
        """The interval of a chart over time."""
        return Interval.parse(self.parameter)

    @property
    def threshold(self) -> int:
        """The parameter as a whole number at the scale of what it is compared with; only of styles not over time."""
        return int(Decimal(self.parameter).scaleb(_SCALES[self.style]))

    @property
    def definition(self) -> str:
        """What makes rows comparable: sha256 over style, parameter, input and the number of these rules."""
        said = {"style": self.style, "parameter": self.parameter, "fed": self.fed, "rules": _RULES}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _shortest(style: Style, parameter: str) -> str:
    try:
        exact = Decimal(parameter.strip())
        if not exact.is_finite() or not 0 < exact < _LARGEST:
            raise ValueError("out of range")
        at_scale(exact, min(_SCALES[style], QUANTITY_SCALE))
    except (InvalidOperation, ValueError) as error:
        wanted = "a whole number of prints" if style == "tick" else f"a number with at most {_places(style)} decimals"
        raise InputError(f"expected {wanted} above 0 for a {style} chart, found {parameter!r}") from error
    return format(exact.normalize(), "f")


def _places(style: Style) -> int:
    return min(_SCALES[style], QUANTITY_SCALE)
