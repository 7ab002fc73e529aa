"""From a state to an order: the vector that every model reads, the rules that are models, and the one sizing policy.

A state vector is float64 in raw units, in the order of `STATE`: the forward-adjusted close, RSI 14, MACD,
forward-adjusted volume, position (-1, 0 or 1) and sentiment in [-1, 1]. Any model answers `decide(vectors)`
(`trading.ports.DecisionModel`); sizing is the same for all of them and for the learning environment. Learners live in
trading/learners.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from trading.errors import InputError, ModelError
from trading.nouns import ZERO, Action, Decision, Position, Side, quotient, whole_lots
from trading.risk import DenialReason, Denied, OrderProposal, denied

STATE = ("close", "rsi", "macd", "volume", "position", "sentiment")
FEATURE_COLUMNS = ("close", "rsi_14", "macd", "volume", "sentiment")
STATE_WIDTH = len(STATE)
CLOSE, RSI, MACD, VOLUME, POSITION, SENTIMENT = range(STATE_WIDTH)


def state_vector(features: Sequence[float], position: int) -> NDArray[np.float64]:
    """Return one state from the values of `FEATURE_COLUMNS`, in that order, and the position's sign.

    Raises:
        InputError: a value is missing or not finite, or the position is not -1, 0 or 1.
    """
    if len(features) != len(FEATURE_COLUMNS):
        raise InputError(f"expected the values of {', '.join(FEATURE_COLUMNS)}, found {len(features)} values")
    *market, sentiment = features
    vector = np.array([*market, position, sentiment], dtype=np.float64)
    checked_vectors(vector.reshape(1, STATE_WIDTH))
    return vector


def checked_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `vectors` as float64[n, 6], refusing what no model should answer for.

    Raises:
        InputError: another shape, a value that is not finite, or a position other than -1, 0 and 1.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != STATE_WIDTH:
        raise InputError(f"expected states of {STATE_WIDTH} numbers ({', '.join(STATE)}), found shape {rows.shape}")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise InputError(f"expected finite numbers, found {rows[row, column]} for {STATE[column]}")
    if not np.isin(rows[:, POSITION], (-1.0, 0.0, 1.0)).all():
        raise InputError("expected a position of -1, 0 or 1")
    return rows


def position_sign(quantity: Decimal) -> int:
    """Return 1 for a long position, -1 for a short one, 0 for none."""
    return (quantity > 0) - (quantity < 0)


@dataclass(frozen=True)
class MacdCross:
    """The baseline rule: BUY when MACD is above zero and nothing is held, SELL when it is below and shares are held.

    confidence = 0.5 + 0.5 x |macd| / (|macd| + scale x |close|)

    It grows with the distance from the crossing, relative to the price, from 0.5 at the crossing towards 1; a HOLD
    has it too, since holding follows from the same side of the crossing. Only + - * / and absolute values, which IEEE
    754 fixes.
    """

    scale: float = 0.01  # |macd| of one percent of the price gives 0.75
    kind = "macd_cross"

    def decide(self, vectors: NDArray[np.float64]) -> list[Decision]:
        """Return one decision per row of float64[n, 6]; each depends on its own row alone."""
        return [
            Decision(_cross(row[MACD], row[POSITION]), self._confidence(row[MACD], row[CLOSE]))
            for row in checked_vectors(vectors).tolist()
        ]

    def _confidence(self, macd: float, close: float) -> float:
        distance = abs(macd)
        whole = distance + self.scale * abs(close)
        return 0.5 if whole == 0.0 else 0.5 + 0.5 * (distance / whole)

    def to_bytes(self) -> bytes:
        """Return the rule as canonical JSON."""
        return _rule_bytes(self.kind, {"scale": self.scale})

    @classmethod
    def from_bytes(cls, payload: bytes) -> MacdCross:
        """Return the rule that `to_bytes` wrote."""
        return cls(**_rule_parameters(cls.kind, payload))

    @property
    def sha256(self) -> str:
        """The hash of the rule's bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True)
class BuyAndHold:
    """The baseline that every learner must beat after costs: BUY at the first chance and never sell."""

    kind = "buy_and_hold"

    def decide(self, vectors: NDArray[np.float64]) -> list[Decision]:
        """Return BUY for every row that holds nothing, HOLD for the others, surely."""
        return [
            Decision(Action.HOLD if row[POSITION] > 0 else Action.BUY, 1.0) for row in checked_vectors(vectors).tolist()
        ]

    def to_bytes(self) -> bytes:
        """Return the rule as canonical JSON."""
        return _rule_bytes(self.kind, {})

    @classmethod
    def from_bytes(cls, payload: bytes) -> BuyAndHold:
        """Return the rule that `to_bytes` wrote."""
        return cls(**_rule_parameters(cls.kind, payload))

    @property
    def sha256(self) -> str:
        """The hash of the rule's bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The decision asks for no order: HOLD, BUY when long, or SELL when flat."""

    reason: str


def target_order(
    action: Action,
    position: Position,
    *,
    price_usd: Decimal,
    equity_usd: Decimal,
    symbols: int,
    as_of: datetime,
    lot_size: Decimal = Decimal(1),
) -> OrderProposal | NothingToDo | Denied:
    """Return the order that an action asks for: the one sizing policy of sessions, backtests and the environment.

    BUY when flat: floor(equity / symbols / price) in whole lots, at the decision price (the raw close). SELL when
    long: all of it. Everything else is nothing to do. A target below one lot is INSUFFICIENT_CASH. What the open then
    costs may shrink a BUY (`trading.execution.execute`), never grow it.

    Args:
        position: What is held of the symbol.
        price_usd: The raw close of the bar decided on.
        equity_usd: The whole portfolio at this bar's snapshot.
        symbols: How many symbols share the equity; the target weight is 1/symbols.
    """
    if action is Action.HOLD:
        return NothingToDo("hold")
    if action is Action.SELL:
        if not position.is_long:
            return NothingToDo("sell_when_flat")
        return OrderProposal(position.symbol, Side.SELL, position.quantity, price_usd, as_of)
    if position.is_long:
        return NothingToDo("buy_when_long")
    quantity = whole_lots(quotient(max(equity_usd, ZERO), price_usd * symbols), lot_size)
    if not quantity:
        return denied(
            DenialReason.INSUFFICIENT_CASH,
            symbol=position.symbol,
            equity_usd=equity_usd,
            symbols=symbols,
            price=price_usd,
        )
    return OrderProposal(position.symbol, Side.BUY, quantity, price_usd, as_of)


def _cross(macd: float, position: float) -> Action:
    if macd > 0.0 and position <= 0.0:
        return Action.BUY
    if macd < 0.0 and position > 0.0:
        return Action.SELL
    return Action.HOLD


def _rule_bytes(kind: str, parameters: dict[str, float]) -> bytes:
    return json.dumps({"kind": kind, "parameters": parameters}, sort_keys=True, separators=(",", ":")).encode()


def _rule_parameters(kind: str, payload: bytes) -> dict[str, float]:
    try:
        stored = json.loads(payload)
        found, parameters = stored["kind"], dict(stored["parameters"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"expected the bytes of a {kind} rule, found {payload[:40]!r}") from error
    if found != kind:
        raise ModelError(f"expected the bytes of a {kind} rule, found a {found}")
    return parameters
