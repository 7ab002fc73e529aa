"""Backtests in the warehouse: terms, metrics and trades, once per content.

A backtest's id is the hash of what went into it, so running it again finds the row that is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from trading.backtest import BacktestResult, BacktestSettings
from trading.identity import row_hash
from trading.scope_terms import ScopeTerms
from trading.telemetry import current_trace_id


@dataclass(frozen=True)
class BacktestTerms:
    """What was backtested, on what.

    Attributes:
        scope: What was asked for; under its universe a day counts if its symbol was a member, as known at the decision.
        definition: Of the feature rows that were walked over.
        symbols: Those that were walked over.
        watermark: The publication up to which was read.
    """

    model_name: str
    model_version: str
    weights_sha256: str
    scope: ScopeTerms
    definition: str
    symbols: Sequence[str]
    watermark: int
    snapshot_id: str | None
    settings: BacktestSettings


def record_backtest(
    conn: psycopg.Connection, terms: BacktestTerms, result: BacktestResult, metrics: Mapping[str, float]
) -> str:
    """Keep a backtest with its trades and return its id; one that is known already is left as it is."""
    backtest_id = _id_of(terms, result)
    added = conn.execute(
        _INSERT, {**_values(terms, result), "backtest_id": backtest_id, "metrics": Jsonb(dict(metrics))}
    )
    if added.rowcount:
        with conn.cursor() as cursor:
            cursor.executemany(_INSERT_TRADE, [(backtest_id, *trade) for trade in _trades(result)])
    return backtest_id


_INSERT = """
insert into trading.backtests (backtest_id, model_name, model_version, source, symbols, first_timestamp, last_timestamp,
    watermark, snapshot_id, starting_cash, costs, metrics, created_at, trace_id,
    universe, asked_symbols, interval, adjustment, definition)
values (%(backtest_id)s, %(model_name)s, %(model_version)s, %(source)s, %(symbols)s, %(first)s, %(last)s,
    %(watermark)s, %(snapshot_id)s, %(starting_cash)s, %(costs)s, %(metrics)s, %(created_at)s, %(trace_id)s,
    %(universe)s, %(asked_symbols)s, %(interval)s, %(adjustment)s, %(definition)s)
on conflict (backtest_id) do nothing
"""

_INSERT_TRADE = """
insert into trading.backtest_trades
    (backtest_id, sequence, symbol, side, quantity, price_usd, slippage_usd, commission_usd, timestamp)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def _id_of(terms: BacktestTerms, result: BacktestResult) -> str:
    content: list[str | Decimal | datetime] = [
        terms.model_name,
        terms.model_version,
        terms.weights_sha256,
        terms.scope.source,
        "|".join(sorted(terms.symbols)),
        str(sorted(terms.settings.costs.to_dict().items())),
        str(sorted(terms.settings.limits.to_dict().items())),
        terms.settings.starting_cash_usd,
    ]
    for snapshot in result.snapshots:
        content += [snapshot.timestamp, snapshot.equity_usd]
    if terms.scope.universe:  # without one the id is that of earlier releases
        content.append(terms.scope.universe)
    return row_hash(content).hex()[:32]


def _values(terms: BacktestTerms, result: BacktestResult) -> dict[str, Any]:
    return {
        "model_name": terms.model_name,
        "model_version": terms.model_version,
        "source": terms.scope.source,
        "symbols": sorted(terms.symbols),
        "first": result.snapshots[0].timestamp,
        "last": result.snapshots[-1].timestamp,
        "watermark": terms.watermark,
        "snapshot_id": terms.snapshot_id,
        "starting_cash": terms.settings.starting_cash_usd,
        "costs": Jsonb(terms.settings.costs.to_dict()),
        "created_at": datetime.now(UTC),
        "trace_id": current_trace_id(),
        "universe": terms.scope.universe,
        "asked_symbols": list(terms.scope.symbols),
        "interval": terms.scope.interval,
        "adjustment": terms.scope.adjustment,
        "definition": terms.definition,
    }


def _trades(result: BacktestResult) -> list[tuple[Any, ...]]:
    return [
        (
            number,
            fill.symbol,
            fill.side.value,
            fill.quantity,
            fill.price_usd,
            fill.slippage_usd,
            fill.commission_usd,
            fill.bar_timestamp,
        )
        for number, fill in enumerate(result.fills, start=1)
    ]
