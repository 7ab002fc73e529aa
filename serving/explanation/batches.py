"""The data level: are the tables still what the vendor delivered?

Each batch's payload is fetched from S3 once, its sha256 checked, and parsed again; the rows it gives must be the rows
that the tables hold, and each stored row must still hash to its identity. Decisions share batches, so all is asked per
batch and answered per decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from trading.adapters.payload_rows import rows_of_payload
from trading.errors import InputError, PayloadHashError
from trading.ingestion.ports import PayloadStore

NEWS_REACH = timedelta(days=31)
"""News older than this cannot be in a decision's window of five sessions."""


@dataclass(frozen=True)
class BatchFacts:
    """What a batch is, for people."""

    batch_id: int
    source: str
    kind: str
    mode: str
    received_at: datetime
    payload_key: str
    payload_sha256: str
    watermark: int


@dataclass(frozen=True)
class Damage:
    """One row that is not what was delivered: whom it touches, from when on, and what is wrong."""

    symbols: frozenset[str]
    known_at: datetime
    what: str


@dataclass(frozen=True)
class BatchCheck:
    """A batch after its check. `problem` speaks of the payload as a whole, `damages` of single rows."""

    facts: BatchFacts
    problem: str | None = None
    damages: tuple[Damage, ...] = ()


@dataclass(frozen=True)
class Dependence:
    """A batch that holds rows about a symbol: the first of them known at `known_at`."""

    batch_id: int
    watermark: int
    known_at: datetime
    last_known_at: datetime
    is_news: bool


@dataclass
class Batches:
    """The batches behind decisions; each is fetched and parsed at most once."""

    conn: psycopg.Connection
    store: PayloadStore
    _checks: dict[int, BatchCheck] = field(default_factory=dict)
    _dependences: dict[tuple[str, str], list[Dependence]] = field(default_factory=dict)

    def differences(self, source: str, symbol: str, as_of: datetime, watermark: int) -> list[str]:
        """Return what is wrong with the raw data that a decision about `symbol` at (as_of, watermark) rests on."""
        found = []
        for batch_id in self.behind(source, symbol, as_of, watermark):
            check = self.check(batch_id)
            if check.problem is not None:
                found.append(check.problem)
            found += [damage.what for damage in check.damages if symbol in damage.symbols and damage.known_at <= as_of]
        return found

    def behind(self, source: str, symbol: str, as_of: datetime, watermark: int) -> list[int]:
        """Return the ids of the batches that hold a row about `symbol` that was known at (as_of, watermark)."""
        return [
            one.batch_id
            for one in self._of_symbol(source, symbol)
            if one.watermark <= watermark
            and one.known_at <= as_of
            and not (one.is_news and one.last_known_at < as_of - NEWS_REACH)
        ]

    def check(self, batch_id: int) -> BatchCheck:
        """Return the check of one batch."""
        if batch_id not in self._checks:
            self._checks[batch_id] = self._checked(self._facts(batch_id))
        return self._checks[batch_id]

    def _checked(self, facts: BatchFacts) -> BatchCheck:
        try:
            made = rows_of_payload(self.conn, self.store, facts.batch_id)
        except (PayloadHashError, InputError) as error:
            return BatchCheck(facts, f"batch {facts.batch_id}: {error}")
        except (LookupError, TypeError, ValueError) as error:  # how it is read was tampered with
            return BatchCheck(facts, f"batch {facts.batch_id} cannot be read again: {error!r}")
        delivered = {row.row_hash for row in made}
        held, damages = set(), []
        for row_hash, is_intact, symbols, known_at, what in self.conn.execute(_ROWS[facts.kind], (facts.batch_id,)):
            held.add(bytes(row_hash))
            where = frozenset(symbols)
            if not is_intact:
                damages.append(Damage(where, known_at, f"{what} was changed: its hash is not that of its columns"))
            elif bytes(row_hash) not in delivered:
                damages.append(Damage(where, known_at, f"{what} is not in the payload of batch {facts.batch_id}"))
        missing = len(delivered - held)
        problem = f"batch {facts.batch_id}: {missing} delivered rows are not in the table" if missing else None
        return BatchCheck(facts, problem, tuple(damages))

    def _facts(self, batch_id: int) -> BatchFacts:
        found = self.conn.execute(
            "select batch_id, source, kind, mode, received_at, payload_key, payload_sha256, watermark"
            " from raw.ingestion_batches where batch_id = %s",
            (batch_id,),
        ).fetchone()
        if found is None:
            raise InputError(f"expected the id of a batch, found {batch_id}")
        return BatchFacts(*found)

    def _of_symbol(self, source: str, symbol: str) -> Iterable[Dependence]:
        key = (source, symbol)
        if key not in self._dependences:
            rows = self.conn.execute(_DEPENDENCES, {"source": source, "symbol": symbol}).fetchall()
            self._dependences[key] = [Dependence(*row) for row in rows]
        return self._dependences[key]


_DEPENDENCES = """
select b.batch_id, b.watermark, min(b.known_at), max(b.known_at), false
from raw.price_bars as b where b.source = %(source)s and b.symbol = %(symbol)s group by 1, 2
union all
select a.batch_id, a.watermark, min(a.known_at), max(a.known_at), false
from raw.corporate_actions as a where a.source = %(source)s and a.symbol = %(symbol)s group by 1, 2
union all
select n.batch_id, n.watermark, min(n.known_at), max(n.known_at), true
from raw.news_items as n where n.symbols @> array[%(symbol)s::text] group by 1, 2
order by 1
"""

_ROWS = {
    "prices": (
        "select b.row_hash, raw.bar_hash(b) = b.row_hash, array[b.symbol], b.known_at,"
        " format('bar %%s (%%s of %%s)', b.bar_id, b.symbol,"
        " b.timestamp) from raw.price_bars as b where b.batch_id = %s"
    ),
    "actions": (
        "select a.row_hash, raw.action_hash(a) = a.row_hash, array[a.symbol], a.known_at,"
        " format('action %%s (%%s on %%s)', a.action_id, a.symbol, a.ex_date) from raw.corporate_actions as a"
        " where a.batch_id = %s"
    ),
    "universe": (
        "select m.row_hash, trading.universe_hash(m) = m.row_hash, array[m.symbol], m.known_at,"
        " format('member %%s (%%s of %%s)', m.member_id, m.symbol, m.universe)"
        " from trading.universe_members as m where m.batch_id = %s"
    ),
    "trades": (
        "select t.row_hash, raw.trade_hash(t) = t.row_hash, array[t.symbol], t.known_at,"
        " format('trade %%s (%%s of %%s)', t.version_id, t.trade_id, t.symbol) from raw.trades as t where t.batch_id = %s"
    ),
    "news": (
        "select n.row_hash, raw.news_hash(n) = n.row_hash, n.symbols, n.known_at,"
        " format('news item %%s (%%s)', n.item_id, n.headline) from raw.news_items as n where n.batch_id = %s"
    ),
}
