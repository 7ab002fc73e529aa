"""What a training set, a backtest or a session was asked for, kept beside it so that it can be asked for again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScopeTerms:
    """The part of a scope that decides which rows come in.

    Attributes:
        source: Whose bars.
        symbols: Those that were asked for, in name order; empty: the choice was left to the scope.
        universe: A universe of trading.universe_members; empty: none.
        interval: Of the bars.
        adjustment: What the prices of its file are: `raw`, `split` or `all`.
    """

    source: str
    symbols: tuple[str, ...] = ()
    universe: str = ""
    interval: str = "1d"
    adjustment: str = "raw"
