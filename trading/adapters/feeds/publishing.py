"""A micro-batch of a feed's messages: the same gate and the same publishing transaction, from one open connection.

The quick way is for messages that break no rule and merely continue series that are known. One transaction then holds
the batch, its rows, its payload (`raw.held_payloads`, from where payload_mover.py brings it to the object store) and what
derives from it, and whoever listens is told by its commit. Whatever is otherwise (a bad row, a new symbol, a day's bar,
a split name, two words about one bar) goes the way of every delivery: `trading.adapters.ingest`. Both give the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import TracebackType
from typing import Any

import psycopg

from trading.adapters import warehouse
from trading.adapters.batch_report import Judged, recorded_values, report_of_judged
from trading.adapters.completeness import republish_session_quality
from trading.adapters.feeds.known_series import KnownSeries
from trading.adapters.feeds.lines import payload_of_lines
from trading.adapters.feeds.rows_statement import rows_statement
from trading.adapters.feeds.stream import Stream
from trading.adapters.ingest import ingest
from trading.adapters.object_store import payload_key
from trading.adapters.placing import to_rows
from trading.adapters.postgres import engine_errors
from trading.adapters.warehouse import Batch
from trading.errors import QualityError
from trading.feed.messages import FeedKind, Hole, Message
from trading.ingestion import prices, trades
from trading.ingestion.candidates import Candidate, parse
from trading.ingestion.ports import Delivery, PayloadStore
from trading.ingestion.reader import NEWEST_PARSER, Mode, Reader
from trading.ingestion.rows import VersionedRow
from trading.ingestion.versions import new_versions
from trading.intervals import Interval
from trading.quality.gate import Check, Facts
from trading.quality.row_rules import keeps_all, row_rules
from trading.telemetry import current_trace_id

_ANY_WATERMARK = 2**63 - 1
_HOLD = "insert into raw.held_payloads (payload_sha256, payload) values (%s, %s) on conflict do nothing"
# How far what is known of the series was read; both are numbered in the order of watermarks.
_READ_TO = """
select
    coalesce((select max(b.batch_id) from raw.ingestion_batches as b), 0),
    coalesce((select max(i.instrument_id) from trading.instruments as i), 0)
"""
# Whether all that the rows were judged by is so still. Another source's batches change nothing of it.
_IS_AS_READ = """
select
    not exists (
        select from raw.ingestion_batches as b
        where b.batch_id > %s and b.source = %s and b.kind in ('prices', 'actions')
    )
    and coalesce((select max(i.instrument_id) from trading.instruments as i), 0) <= %s
"""
_NEWEST_TRADES = """
select a.symbol, newest.timestamp, newest.trade_id
from unnest(%s::text[]) as a (symbol)
cross join lateral (
    select t.timestamp, t.trade_id from raw.trades as t
    where t.source = %s and t.symbol = a.symbol
    order by t.timestamp desc, length(t.trade_id) desc, t.trade_id collate "C" desc limit 1
) as newest
"""
_TRADES_BETWEEN = """
select count(distinct t.trade_id) from raw.trades as t
where t.source = %s and t.symbol = %s and t.timestamp between %s and %s
    and case when t.trade_id ~ '^[0-9]{1,18}$' then t.trade_id::bigint between %s and %s else false end
"""


@dataclass(frozen=True)
class Published:
    """What became of a micro-batch: its watermark (None where it was refused), its rows, and which way it went."""

    kind: FeedKind
    watermark: int | None
    rows_in: int
    rows_published: int
    rows_quarantined: int
    was_quick: bool
    refusal: str = ""


@dataclass(frozen=True)
class _Lines:
    """Messages as the source of one batch."""

    name: str
    delivery: Delivery
    default_mode: Mode = "live"

    def deliver(self, kind: object, partition: str | None) -> Delivery:
        """Return the messages."""
        del kind, partition
        return self.delivery


class FeedPublisher:
    """Publishes a feed's messages; a context that holds one connection.

    Args:
        derives: Whether the publishing transaction also takes the rows into the features.
    """

    def __init__(
        self,
        stream: Stream,
        interval: str,
        symbols: Collection[str],
        *,
        database_url: str,
        object_store: PayloadStore,
        derives: bool = True,
    ) -> None:
        """Take note of the terms; nothing is asked yet."""
        self._stream, self._interval, self._symbols = stream, interval, tuple(symbols)
        self._url, self._store, self._derives = database_url, object_store, derives
        self._is_intraday = Interval.parse(interval).is_intraday
        self._known: KnownSeries | None = None
        self._read_to = (0, 0)
        self.touched: date | None = None
        """The first day whose sessions have new bars that nobody has counted yet (`settle`)."""

    def __enter__(self) -> FeedPublisher:
        """Connect."""
        with engine_errors():
            self._conn = psycopg.connect(
                self._url, autocommit=True, application_name="tradeloom-feed", options="-c timezone=UTC"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._conn.close()

    def newest(self) -> dict[str, datetime]:
        """Return the start of the newest bar that is here, by symbol that has one."""
        with engine_errors():
            return dict(self._read_known().newest)

    def newest_trades(self) -> dict[str, tuple[datetime, str]]:
        """Return moment and id of the newest trade that is here, by symbol that has one."""
        with engine_errors():
            rows = self._conn.execute(_NEWEST_TRADES, (list(self._symbols), self._stream.source)).fetchall()
        return {symbol: (at, name) for symbol, at, name in rows}

    def trades_between(self, hole: Hole) -> int:
        """Return how many of a hole's numbered trades are here."""
        numbers = (self._stream.source, hole.symbol, hole.after, hole.before, hole.first, hole.last)
        with engine_errors():
            found = self._conn.execute(_TRADES_BETWEEN, numbers).fetchone()
        return int(found[0]) if found else 0

    def calendars(self) -> dict[str, str]:
        """Return the calendar of each symbol: its instrument's, or the vendor's."""
        known = self._known or self._read_known()
        return {symbol: known.calendars.get(symbol, self._stream.vendor.calendar) for symbol in self._symbols}

    def publish(self, messages: Sequence[Message], now: Callable[[], datetime]) -> Published:
        """Publish messages of one kind.

        Raises:
            EngineUnavailableError, DiskFullError: an engine failed; nothing of the batch is there, call again.
        """
        kind, received_at = messages[0].kind, now()
        payload = payload_of_lines([message.line for message in messages])
        reader = self._reader(kind, {message.symbol for message in messages})
        with engine_errors():
            for _ in range(3):  # others may publish while we judge
                rows = self._continuing(kind, payload, reader, received_at)
                if rows is None:
                    break
                try:
                    published = self._publish_with_features(kind, payload, reader, rows, received_at)
                except psycopg.errors.CheckViolation:
                    break  # their time has no partition yet: ingestion makes it, or says what else is wrong
                if published is not None:
                    return published
        return self._ingest(kind, payload, reader, received_at, now)

    def settle(self) -> None:
        """Record which sessions are complete by now; not with each bar, which would count a whole session again."""
        if self.touched is None:
            return
        with engine_errors(), self._conn.transaction() as transaction:
            watermark = warehouse.take_watermark(self._conn, f"sessions of {self._stream.source}")
            if not republish_session_quality(self._conn, self._stream.source, self.touched, watermark):
                raise psycopg.Rollback(transaction)  # no watermark for nothing
        self.touched = None

    def _reader(self, kind: FeedKind, symbols: set[str]) -> Reader:
        return Reader(
            kind,
            self._stream.format,
            interval=self._interval,
            calendar=self._stream.vendor.calendar,
            parser=NEWEST_PARSER[kind],
            details=self._stream.details(symbols),
        )

    def _read_known(self) -> KnownSeries:
        self._read_to = self._conn.execute(_READ_TO).fetchone() or (0, 0)
        self._known = KnownSeries.read(self._conn, self._stream.source, self._interval, self._symbols)
        return self._known

    def _continuing(
        self, kind: FeedKind, payload: bytes, reader: Reader, received_at: datetime
    ) -> list[Candidate] | None:
        """Return the rows, placed, if all of them may go the quick way."""
        known = self._known or self._read_known()
        if kind == "prices" and not self._is_intraday:
            return None  # whether the session is complete is asked with the bars of a day
        known.open_sessions(self._conn, received_at)
        parsed = parse(payload, reader)
        rows = parsed.candidates
        keys = {_KEY[kind](row.values) for row in rows}
        if parsed.defects or len(keys) < len(rows):
            return None
        return rows if all(self._is_plain(kind, row, known, reader, received_at) for row in rows) else None

    def _is_plain(
        self, kind: FeedKind, row: Candidate, known: KnownSeries, reader: Reader, received_at: datetime
    ) -> bool:
        values = row.values
        symbol, timestamp = values["symbol"], values["timestamp"]
        if symbol is None or timestamp is None or symbol not in known.calendars:
            return False
        if kind == "trades":
            trades.place(values, known.lag)
            return keeps_all(kind, {**values, "received_at": received_at, "first_live_at": None})
        if not known.continues(symbol, timestamp):
            return False
        prices.place(values, known.lag, known.calendars, known.sessions, reader.parser)
        facts = {"received_at": received_at, "series_adjustment": known.adjustments[symbol], "first_live_at": None}
        return values["nominal_at"] is not None and keeps_all(kind, {**values, **facts})

    def _publish_with_features(
        self, kind: FeedKind, payload: bytes, reader: Reader, rows: list[Candidate], received_at: datetime
    ) -> Published | None:
        """Publish, without the features where they cannot be derived: the bars must not wait for them."""
        try:
            return self._publish_quickly(kind, payload, reader, rows, received_at, derives=self._derives)
        except (psycopg.OperationalError, psycopg.errors.CheckViolation):
            raise
        except psycopg.Error as error:
            if not self._derives:
                raise
            published = self._publish_quickly(kind, payload, reader, rows, received_at, derives=False)
            why = " ".join(str(error).split())
            return replace(published, refusal=f"published without its features: {why}") if published else None

    def _publish_quickly(
        self,
        kind: FeedKind,
        payload: bytes,
        reader: Reader,
        rows: list[Candidate],
        received_at: datetime,
        *,
        derives: bool,
    ) -> Published | None:
        """Publish in one transaction; None where somebody else published since the rows were judged.

        Two journeys to PostgreSQL: what is there of these keys, under our watermark; then everything that is written.
        """
        assert self._known is not None, "rows were judged by it"
        batch = self._batch(kind, payload, reader, received_at)
        raw = to_rows(kind, batch.source, rows)
        written = None
        with self._conn.pipeline(), self._conn.transaction():
            taken = self._conn.execute("select raw.take_watermark(%s)", (f"feed {kind} of {batch.source}",))
            # Statements of their own: what they see begins after the watermark was waited for.
            checked = self._conn.execute(_IS_AS_READ, (self._read_to[0], batch.source, self._read_to[1]))
            known = warehouse.known_versions(self._conn, kind, batch.source, [row.key for row in raw], _ANY_WATERMARK)
            own, is_as_read = (taken.fetchone() or (0,))[0], (checked.fetchone() or (False,))[0]
            versions = new_versions(raw, known, batch.mode, batch.received_at)
            if is_as_read:
                written = self._write(batch, payload, rows, versions, own)
                if derives and versions:
                    self._conn.execute("call features.advance()")
        if written is None:  # the watermark that we took says nothing, and nobody minds
            self._read_known()
            return None
        self._read_to = ((written.fetchone() or (0,))[0], self._read_to[1])
        self._note(kind, rows)
        return Published(kind, own, len(rows), len(versions), 0, True)

    def _write(
        self, batch: Batch, payload: bytes, rows: list[Candidate], versions: list[VersionedRow], watermark: int
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Send the batch, its new rows and its payload; return where the batch's id will be. Nothing is waited for."""
        judged = self._judged(batch, rows)
        report = report_of_judged(batch, judged, watermark, rows_published=len(versions), drafts={})
        written = self._conn.execute(
            *warehouse.batch_statement(batch, watermark, recorded_values(batch, judged, report))
        )
        self._conn.execute(*rows_statement(batch.kind, batch.source, versions, watermark))
        self._conn.execute(_HOLD, (batch.payload_sha256, payload))
        return written

    def _note(self, kind: FeedKind, rows: list[Candidate]) -> None:
        if kind != "prices" or self._known is None:
            return
        for row in rows:
            self._known.came(row.values["symbol"], row.values["timestamp"])
        first = min(row.values["timestamp"].date() for row in rows)
        self.touched = min(filter(None, (self.touched, first)))

    def _judged(self, batch: Batch, rows: list[Candidate]) -> Judged:
        assert self._known is not None, "rows were judged by it"
        times = [row.values["timestamp"] for row in rows]
        symbols = tuple(sorted({row.values["symbol"] for row in rows}))
        return Judged(
            facts=Facts(batch.received_at, batch.mode),
            calendars={symbol: self._known.calendars[symbol] for symbol in symbols},
            parts=(),
            rows_in=len(rows),
            rows_good=len(rows),
            rows_merged=0,
            rows_unfinished=0,
            defects=(),
            checks=tuple(Check(rule, columns, len(rows), 0) for rule, columns, _ in row_rules(batch.kind)),
            first=min(times),
            last=max(times),
            symbols=symbols,
        )

    def _batch(self, kind: FeedKind, payload: bytes, reader: Reader, received_at: datetime) -> Batch:
        digest = hashlib.sha256(payload).hexdigest()
        return Batch(
            source=self._stream.source,
            kind=kind,
            mode="live",
            received_at=received_at,
            delivered_at=received_at,  # the same words at another time are another delivery
            payload_key=payload_key(digest),
            payload_sha256=digest,
            payload_name=f"stream {kind} {received_at:%Y-%m-%dT%H:%M:%S}",
            reader=reader,
            dagster_run_id=None,
            trace_id=current_trace_id(),
        )

    def _ingest(
        self, kind: FeedKind, payload: bytes, reader: Reader, received_at: datetime, now: Callable[[], datetime]
    ) -> Published:
        name = f"stream {kind} {received_at:%Y-%m-%dT%H:%M:%S}"
        source = _Lines(self._stream.source, Delivery(payload, name, reader))
        try:
            report = ingest(
                source,
                kind,
                now=now(),
                database_url=self._url,
                object_store=self._store,
                mode="live",
                delivered_at=received_at,
            )
        except QualityError as error:  # recorded with its quarantine; the feed goes on
            return Published(kind, None, len(payload.splitlines()), 0, 0, False, str(error))
        finally:
            self._known = None  # whatever was new is known now
        return Published(kind, report.watermark, report.rows_in, report.rows_published, report.rows_quarantined, False)


_KEY = {"prices": prices.key, "trades": trades.key}
