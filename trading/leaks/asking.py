"""Ask a definition: on the world, on one cut off, and early, before it has seen anything whole.

A definition that keeps what it has seen (a cache of its module) would answer every later question from it. So the
worlds that are cut off come first, the smallest of them first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pandas import DataFrame

from trading.errors import InputError
from trading.leaks.comparing import as_rows
from trading.leaks.deciding import EARLY, early_moments, training_end
from trading.leaks.declaring import Declared
from trading.leaks.world import World


@dataclass(frozen=True, eq=False)
class Early:
    """What a definition answered on a world cut off at some moments, before it was asked on the whole.

    Attributes:
        fitted_until: The training end that a normalisation was asked with; None otherwise.
        moments: When the worlds end, the earliest first; at most `deciding.EARLY`.
        answers: By moment; an error where it ended in one.
    """

    fitted_until: datetime | None
    moments: tuple[datetime, ...]
    answers: dict[datetime, DataFrame | Exception]


def ask_early(declared: Sequence[Declared], worlds: Sequence[World]) -> list[list[Early]]:
    """Return, by world and definition, the answers of all of them before any is asked on a whole world.

    All answer on the smaller worlds before one sees a larger: what one keeps, another of its module may read.
    """
    early = [[_unasked(one, world) for one in declared] for world in worlds]
    for rank in range(EARLY):
        for world, row in zip(worlds, early, strict=True):
            for one, asked in zip(declared, row, strict=True):
                for moment in asked.moments[rank : rank + 1]:
                    asked.answers[moment] = _answer(one, other_world(world, "truncated", moment, 0, None), asked)
    return early


def _unasked(declared: Declared, world: World) -> Early:
    until = training_end(world) if declared.kind == "normalisation" else None
    # A split is judged by its parts alone, on the whole world.
    return Early(until, () if declared.kind == "split" else tuple(early_moments(world, until)), {})


def _answer(declared: Declared, world: World, asked: Early) -> DataFrame | Exception:
    try:
        return ask(declared, world, asked.fitted_until)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything; it is judged later
        return error


def ask(declared: Declared, world: World, fitted_until: datetime | None) -> DataFrame:
    """Return the rows of a definition; it may write into what it is handed.

    Raises:
        InputError: it gives no rows by symbol and timestamp, or it ends the process instead of answering.
        Exception: whatever the definition raises.
    """
    given = World(**{name: frame.copy() for name, frame in world.frames().items() if name in declared.inputs})
    try:
        made: Any = (
            declared.function(given, fitted_until) if declared.kind == "normalisation" else declared.function(given)
        )
    except SystemExit as error:
        # Not an Exception: uncaught, it would end the command with the function's own code, 0 perhaps.
        raise InputError(f"expected {declared.name} to return rows, found SystemExit: {error}; do not exit") from error
    return as_rows(declared.name, made)


@lru_cache(maxsize=64)
def other_world(world: World, future: str, moment: datetime, seed: int, parts: frozenset[str] | None) -> World:
    """Return the world cut off; kept, because the definitions of one run are cut at the same moments."""
    return world.truncated(moment, parts) if future == "truncated" else world.scrambled(moment, seed, parts)
