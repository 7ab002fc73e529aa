"""A model's decisions over bars, through the same sizing, risk, fill and booking core as every session.

Per bar, in the order of the market: splits, fills at the raw open, the mark at the raw close, decisions. The loop
does the same against real tables and a broker (serving/trading_loop); what the result is worth is evaluation.py's to
say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from trading.costs import Costs
from trading.errors import InputError
from trading.execution import after_split, execute, fill_order, reaches
from trading.nouns import Action, Bar, Fill, OrderIntent, PortfolioSnapshot, Side, Split, product, usd
from trading.portfolio import Portfolio, Transaction, split_reference_price
from trading.ports import DecisionModel
from trading.risk import Denied, OrderProposal, RiskContext, RiskLimits, check
from trading.series import MarketSeries
from trading.strategy import NothingToDo, position_sign, target_order

DEFAULT_CASH_USD = Decimal(100_000)


@dataclass(frozen=True)
class BacktestSettings:
    """The terms of a backtest; a session with the same terms books the same amounts."""

    starting_cash_usd: Decimal = DEFAULT_CASH_USD
    costs: Costs = field(default_factory=Costs)
    limits: RiskLimits = field(default_factory=RiskLimits)
    latency: timedelta = timedelta(0)


@dataclass(frozen=True)
class Refusal:
    """An order that was asked for and not made or not filled."""

    symbol: str
    timestamp: datetime
    denied: Denied


@dataclass(frozen=True)
class BacktestResult:
    """What happened: one snapshot per bar, every fill, refusal and transaction, in order."""

    snapshots: tuple[PortfolioSnapshot, ...]
    fills: tuple[Fill, ...]
    refusals: tuple[Refusal, ...]
    transactions: tuple[Transaction, ...]

    @property
    def equity_usd(self) -> tuple[Decimal, ...]:
        """Equity at each bar's close."""
        return tuple(snapshot.equity_usd for snapshot in self.snapshots)


def run_backtest(
    model: DecisionModel, series: Sequence[MarketSeries], settings: BacktestSettings | None = None
) -> BacktestResult:
    """Let `model` trade all of `series` from one cash account.

    Raises:
        InputError: no bar at all, or two series of one symbol.
    """
    walk = _Walk(series, settings or BacktestSettings())
    for timestamp, indices in _by_timestamp(series):
        walk.meet(timestamp, indices)
        walk.decide(model, timestamp, indices)
    return walk.result()


class _Walk:
    """The state of one backtest while it goes over the bars."""

    def __init__(self, series: Sequence[MarketSeries], settings: BacktestSettings) -> None:
        self.series = {one.symbol: one for one in series}
        if len(self.series) != len(series) or not any(len(one) for one in series):
            raise InputError("expected one series with bars per symbol, found none or two of one symbol")
        self.settings = settings
        self.portfolio, opening = Portfolio.opened(settings.starting_cash_usd)
        self.closes_usd: dict[str, Decimal] = {}
        self.pending: dict[str, OrderIntent] = {}
        self.snapshots: list[PortfolioSnapshot] = []
        self.fills: list[Fill] = []
        self.refusals: list[Refusal] = []
        self.transactions: list[Transaction] = [opening]

    def meet(self, timestamp: datetime, indices: Mapping[str, int]) -> None:
        """Apply one timestamp's splits, fill what waits for its opens, mark at its closes."""
        for symbol, index in indices.items():
            for split in self.series[symbol].splits.get(index, ()):
                reference = split_reference_price(self.closes_usd[symbol], split.ratio)
                self.closes_usd[symbol] = reference
                lot_size = self.series[symbol].lot_size
                self.portfolio, transaction = self.portfolio.after_split(split, reference, lot_size)
                self.transactions += [transaction] if transaction else []
                self._split_pending(split)
        bars = {symbol: self.series[symbol].bars[index] for symbol, index in indices.items()}
        for intent in fill_order(self.pending.values()):
            bar = bars.get(intent.symbol)
            if bar is not None and reaches(bar.opens_at, intent.as_of, self.settings.latency):
                self._fill(intent, bar)
        self.closes_usd.update({symbol: bar.close for symbol, bar in bars.items()})
        self.snapshots.append(self.portfolio.snapshot(timestamp, self.closes_usd))

    def decide(self, model: DecisionModel, timestamp: datetime, indices: Mapping[str, int]) -> None:
        """Ask the model about every symbol of one timestamp, in name order, from one cash snapshot."""
        states = [
            self.series[symbol].state(index, position_sign(self.portfolio.quantity(symbol)))
            for symbol, index in indices.items()
        ]
        decisions = model.decide(np.stack(states))
        for (symbol, index), decision in zip(indices.items(), decisions, strict=True):
            if symbol not in self.pending:  # an order that is still on its way is not doubled
                self._order(decision.action, self.series[symbol].bars[index])

    def result(self) -> BacktestResult:
        """Return what happened."""
        return BacktestResult(tuple(self.snapshots), tuple(self.fills), tuple(self.refusals), tuple(self.transactions))

    def _split_pending(self, split: Split) -> None:
        waiting = self.pending.pop(split.symbol, None)
        intent = after_split(waiting, split, self.series[split.symbol].lot_size) if waiting else None
        if intent is not None:
            self.pending[split.symbol] = intent

    def _fill(self, intent: OrderIntent, bar: Bar) -> None:
        del self.pending[intent.symbol]
        lot_size = self.series[bar.symbol].lot_size
        outcome = execute(intent, bar, self.portfolio.cash_usd, self.settings.costs, lot_size)
        if isinstance(outcome, Denied):
            self.refusals.append(Refusal(intent.symbol, bar.timestamp, outcome))
            return
        self.portfolio, transaction = self.portfolio.after_fill(outcome)
        self.fills.append(outcome)
        self.transactions.append(transaction)

    def _order(self, action: Action, bar: Bar) -> None:
        equity_usd = self.snapshots[-1].equity_usd
        position = self.portfolio.position(bar.symbol)
        proposal = target_order(
            action,
            position,
            price_usd=bar.close,
            equity_usd=equity_usd,
            symbols=len(self.series),
            as_of=bar.known_at,
            lot_size=self.series[bar.symbol].lot_size,
        )
        if isinstance(proposal, NothingToDo):
            return
        context = RiskContext(self._available_cash_usd(), equity_usd, position, check_features=False)
        refusal = proposal if isinstance(proposal, Denied) else check(proposal, context, self.settings.limits)
        if refusal is not None:
            self.refusals.append(Refusal(bar.symbol, bar.timestamp, refusal))
        elif isinstance(proposal, OrderProposal):
            self.pending[bar.symbol] = intent_of(proposal, f"{bar.symbol}@{bar.timestamp.isoformat()}")

    def _available_cash_usd(self) -> Decimal:
        """Return the cash that no waiting BUY has been promised, at decision prices."""
        promised = (
            usd(product(intent.quantity, intent.decision_price_usd))
            for intent in self.pending.values()
            if intent.side is Side.BUY
        )
        return self.portfolio.cash_usd - sum(promised, Decimal(0))


def intent_of(proposal: OrderProposal, client_order_id: str) -> OrderIntent:
    """Return an allowed proposal as the order to commit."""
    return OrderIntent(
        client_order_id=client_order_id,
        symbol=proposal.symbol,
        side=proposal.side,
        quantity=proposal.quantity,
        as_of=proposal.as_of,
        decision_price_usd=proposal.price_usd,
    )


def _by_timestamp(series: Sequence[MarketSeries]) -> Iterable[tuple[datetime, dict[str, int]]]:
    """Yield each timestamp once, in order, with the index of each symbol's bar there, symbols in name order."""
    places: dict[datetime, dict[str, int]] = {}
    for one in sorted(series, key=lambda one: one.symbol):
        for index, bar in enumerate(one.bars):
            places.setdefault(bar.timestamp, {})[one.symbol] = index
    return sorted(places.items())
