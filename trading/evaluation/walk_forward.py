"""Walk-forward windows: train on the past, skip an embargo, test on what follows, move on. Never the other way
round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from trading.errors import InputError


@dataclass(frozen=True)
class Fold:
    """One step: sessions to train on and later ones to test on; both ends included."""

    training_first: date
    training_last: date
    test_first: date
    test_last: date


def walk_forward(sessions: Sequence[date], folds: int, test_sessions: int, embargo_sessions: int) -> list[Fold]:
    """Return `folds` windows over `sessions`, the last test ending at the last session; training grows from the first.

    Raises:
        InputError: sessions out of order, or too few to leave every fold as much training as testing.
    """
    if list(sessions) != sorted(set(sessions)):
        raise InputError("expected sessions in order, each once")
    needed = (folds + 1) * test_sessions + embargo_sessions
    if folds < 1 or test_sessions < 1 or embargo_sessions < 0 or len(sessions) < needed:
        raise InputError(
            f"expected at least {needed} sessions for {folds} folds of {test_sessions} with an embargo of "
            f"{embargo_sessions}, found {len(sessions)}; ask for fewer or shorter folds"
        )
    made = []
    for fold in range(folds):
        test = len(sessions) - (folds - fold) * test_sessions
        last_trained = test - embargo_sessions - 1
        made.append(Fold(sessions[0], sessions[last_trained], sessions[test], sessions[test + test_sessions - 1]))
    return made
