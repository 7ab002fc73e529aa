"""The loop: takes a session over its bars, one committed step after the other.

Per bar: `marked` (splits, fills at the open, the mark at the close) commits together; then analyst and oracle are
asked, with nothing open; then `decided` (decisions and intents) commits together; then the broker hears of the orders;
then its word is recorded. Each step claims its key in `trading.session_steps` as it commits, so a step done twice is
done once, and a loop that was killed anywhere goes on where it was. Nothing here knows the time but through the bars
and `wall`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import psycopg
from psycopg import errors as pg

from serving.trading_loop.crash_points import CrashPlan, CrashPoint
from serving.trading_loop.deciding import Answered, BarQuestion, acknowledged, decide_bar, events_of
from serving.trading_loop.opening import FillingBroker, Market, Opening, meet
from serving.trading_loop.session import NO_SCORER, Mode, Session
from trading.adapters.anchors import AnchorStore, record_anchor, store_anchor
from trading.adapters.event_chain import Event, append, head
from trading.adapters.ledger import Ledger, SessionBooks
from trading.adapters.market_data import BarGroup, MarketData, sessions_between
from trading.adapters.recalls import OpenRecall, open_recalls
from trading.adapters.services import OracleAnswer, OracleQuestion, SentimentAnswer, SentimentQuestion
from trading.errors import EngineUnavailableError, ModelError, ModelHashError
from trading.nouns import Instrument, Order, OrderIntent, PortfolioSnapshot
from trading.strategy import position_sign

WINDOW_SESSIONS = 5
"""The window of the daily sentiment feature, which the analyst must give back bit for bit."""

_LOG = logging.getLogger(__name__)


class Oracle(Protocol):
    """Answers for all symbols of a bar (`trading.adapters.services.OracleClient`)."""

    def decide(self, questions: Sequence[OracleQuestion], *, model_version: str) -> list[OracleAnswer]:
        """Return one answer per question, in their order."""


class Analyst(Protocol):
    """Scores the news of symbols at moments (`trading.adapters.services.AnalystClient`)."""

    def sentiment(
        self,
        questions: Sequence[SentimentQuestion],
        *,
        watermark: int,
        scorer: str,
        scorer_version: str,
        window_sessions: int,
    ) -> list[SentimentAnswer]:
        """Return one answer per question, in their order."""


class Broker(FillingBroker, Protocol):
    """Takes orders; submitting twice under one id is submitting once."""

    @property
    def name(self) -> str:
        """Which broker this is."""

    def submit(self, intent: OrderIntent) -> Order:
        """Send an order."""

    def order(self, client_order_id: str) -> Order | None:
        """Return an order that the broker has, None if it has never heard of it."""


@dataclass(frozen=True)
class Counterparts:
    """Everybody a session speaks to."""

    oracle: Oracle
    analyst: Analyst
    broker: Broker
    anchors: AnchorStore


@dataclass
class TradingLoop:
    """One run over a session's bars.

    Args:
        conn: An autocommitting connection of the loop's own.
        wall: The wall clock, for the columns that people read.
    """

    conn: psycopg.Connection
    session: Session
    others: Counterparts
    wall: Callable[[], datetime]
    trace_id: str
    crash: CrashPlan = field(default_factory=CrashPlan)
    on_bar: Callable[[int, int], None] = lambda done, total: None

    def __post_init__(self) -> None:
        """Prepare; nothing is read yet."""
        self._ledger = Ledger(self.conn, self.session.session_id)

    def run(self) -> None:
        """Take the session as far as the bars go; a finished session is left as it is.

        Raises:
            EngineUnavailableError: an engine, a service or the broker does not answer; running again goes on from here.
        """
        with self._alone():
            self.crash.passes(CrashPoint.SESSION_OPENED)
            if not self._is_finished():
                self._walk()

    def _walk(self) -> None:
        terms = self.session.terms
        watermark = self._watermark()
        if not watermark:
            return  # its features were never made: there is nothing to decide on yet
        data = MarketData(terms.source, self.session.symbols, terms.interval, watermark)
        instruments = data.instruments(self.conn)
        splits = data.splits(self.conn, terms.first_timestamp.date(), terms.last_timestamp.date())
        market = Market(self.others.broker, instruments, splits, terms.latency)
        groups = list(data.groups(self.conn, terms.first_timestamp, terms.last_timestamp))
        done, books = self._ledger.steps_done(), self._ledger.books()
        met: BarGroup | None = None
        for number, group in enumerate(groups, start=1):
            if not self._is_ready(group, groups[-1]):
                break
            self._reconcile(books)
            if (group.timestamp, "marked") not in done:
                self._mark(group, books, market)
            if (group.timestamp, "decided") not in done:
                self._decide(group, books, instruments, watermark)
            met = group
            self.on_bar(number, len(groups))
        self._reconcile(books)
        if met is not None and (terms.mode is Mode.REPLAY or met.timestamp >= terms.last_timestamp):
            self._close(met)

    def _watermark(self) -> int:
        """A replay reads at its pinned watermark; what follows the world's clock reads as far as its features are made.

        Bars are published before the features that rest on them: read at once, they would be decided on with old ones.
        """
        if self.session.terms.mode is Mode.REPLAY:
            return self.session.watermark
        definition = self.session.feature_service.get("definition")
        query = (
            "select raw.newest_watermark()"
            if definition is None
            else "select coalesce(max(a.watermark), 0) from features.advances as a where a.definition = %s"
        )
        found = self.conn.execute(query, () if definition is None else (definition,)).fetchone()
        return int(found[0]) if found else 0

    def _is_ready(self, group: BarGroup, last: BarGroup) -> bool:
        """Outside a replay the newest bar waits for all symbols; an older one waits no longer."""
        is_complete = len(group.bars) == len(self.session.symbols)
        return self.session.terms.mode is Mode.REPLAY or is_complete or group is not last

    def _mark(self, group: BarGroup, books: SessionBooks, market: Market) -> None:
        with self.conn.transaction():
            if not self._ledger.begins_step(group.timestamp, "marked"):
                raise EngineUnavailableError("another process has moved this session; run again")
            opening, snapshot = meet(books, group, market, self.session.session_id)
            self._write_opening(opening, group, books, snapshot)
        self.crash.passes(CrashPoint.BAR_MARKED)

    def _write_opening(
        self, opening: Opening, group: BarGroup, books: SessionBooks, snapshot: PortfolioSnapshot
    ) -> None:
        ledger = self._ledger
        for split in opening.splits:
            ledger.write_split(split.known, group.timestamp, split.before, split.after, split.paid_usd)
            ledger.write_transaction(split.transaction_id, group.timestamp, split.transaction)
        for row, transaction in opening.fills:
            ledger.write_fill(row)
            ledger.write_transaction(row.fill.fill_id, group.timestamp, transaction)
        for client_order_id, refusal in opening.cancellations:
            ledger.write_cancellation(client_order_id, group.timestamp, refusal)
        moved = {row.fill.symbol for row, _ in opening.fills} | {split.known.split.symbol for split in opening.splits}
        ledger.write_positions([books.portfolio.position(symbol) for symbol in sorted(moved)], group.timestamp)
        ledger.write_snapshot(snapshot, books.prices_usd)
        append(self.conn, self.session.session_id, opening.events)
        if opening.fills:
            self.crash.passes(CrashPoint.FILLS_WRITTEN)

    def _decide(self, group: BarGroup, books: SessionBooks, instruments: dict[str, Instrument], watermark: int) -> None:
        answers = self._ask(group, books, instruments, watermark)
        with self.conn.transaction():
            if not self._ledger.begins_step(group.timestamp, "decided"):
                raise EngineUnavailableError("another process has moved this session; run again")
            question = BarQuestion(
                session=self.session,
                watermark=watermark,
                state=self._ledger.trading_state(),
                instruments=instruments,
                equity_usd=books.portfolio.equity_usd(books.prices_usd),
                decided_at=self.wall(),
                trace_id=self.trace_id,
            )
            decisions, intents = decide_bar(question, group, answers, books)
            self._ledger.write_decisions(decisions)
            self._ledger.write_intents(intents)
            append(self.conn, self.session.session_id, events_of(decisions, intents))
            if intents:
                self.crash.passes(CrashPoint.INTENTS_WRITTEN)
        if intents:
            self.crash.passes(CrashPoint.INTENTS_COMMITTED)
            self._submit(books)

    def _ask(
        self, group: BarGroup, books: SessionBooks, instruments: dict[str, Instrument], watermark: int
    ) -> dict[str, Answered]:
        """Ask the services about every symbol of the bar; no transaction is open meanwhile."""
        scores = self._sentiments(group, watermark)
        self.crash.passes(CrashPoint.ANALYST_ANSWERED)
        questions = [
            OracleQuestion(
                symbol, position_sign(books.portfolio.quantity(symbol)), bar.bar.known_at, watermark, bar.bar.source
            )
            for symbol, bar in group.bars.items()
        ]
        oracle = self.others.oracle.decide(questions, model_version=self.session.model_version)
        self.crash.passes(CrashPoint.ORACLE_ANSWERED)
        recalled = self._recalled(group, watermark)
        return {
            answer.symbol: Answered(
                self._expected(answer),
                scores.get(answer.symbol),
                self._age(group, instruments, answer),
                recalled.get(answer.symbol),
            )
            for answer in oracle
        }

    def _sentiments(self, group: BarGroup, watermark: int) -> dict[str, SentimentAnswer]:
        """Ask the analyst, unless the model's features read no news."""
        if self.session.scorer == NO_SCORER:
            return {}
        questions = [SentimentQuestion(symbol, bar.bar.known_at, bar.nominal_at) for symbol, bar in group.bars.items()]
        answers = self.others.analyst.sentiment(
            questions,
            watermark=watermark,
            scorer=self.session.scorer,
            scorer_version=self.session.scorer_version,
            window_sessions=WINDOW_SESSIONS,
        )
        for answer in answers:
            if answer.scorer_version != self.session.scorer_version:
                raise ModelError(
                    f"expected the analyst to score with version {self.session.scorer_version},"
                    f" found {answer.scorer_version}"
                )
        return dict(zip(group.bars, answers, strict=True))

    def _recalled(self, group: BarGroup, watermark: int) -> dict[str, OpenRecall]:
        """Return, by symbol, a recall that was known when the bar was: features of the series rest on its bar."""
        terms = self.session.terms
        found = open_recalls(
            self.conn,
            terms.source,
            list(group.bars),
            terms.interval,
            group.timestamp,
            as_of=group.known_at,
            watermark=watermark,
        )
        return {one.symbol: one for one in found if one.known_at <= group.bars[one.symbol].bar.known_at}

    def _expected(self, answer: OracleAnswer) -> OracleAnswer:
        if answer.model_version != self.session.model_version:
            raise ModelError(
                f"expected the oracle to serve version {self.session.model_version}, found {answer.model_version}"
            )
        if answer.weights_sha256 != self.session.weights_sha256:
            raise ModelHashError(
                f"expected weights {self.session.weights_sha256} of version {answer.model_version},"
                f" found {answer.weights_sha256}"
            )
        return answer

    def _age(self, group: BarGroup, instruments: dict[str, Instrument], answer: OracleAnswer) -> int:
        row = answer.feature_row
        if row is None or row.timestamp == group.timestamp:
            return 0
        return sessions_between(self.conn, instruments[answer.symbol].calendar, row.timestamp, group.timestamp)

    def _submit(self, books: SessionBooks) -> None:
        """Send what is committed. Silence is not a no: the order stays in flight until the broker is asked."""
        accepted = []
        for order in sorted(books.open_orders, key=lambda order: order.intent.client_order_id):
            if not order.is_acknowledged:
                try:
                    accepted.append(self.others.broker.submit(order.intent))
                except EngineUnavailableError as error:
                    _LOG.warning(
                        "the broker is silent", extra={"order": order.intent.client_order_id, "error": str(error)}
                    )
                self.crash.passes(CrashPoint.ORDER_SUBMITTED)
        self._acknowledge(books, accepted)

    def _reconcile(self, books: SessionBooks) -> None:
        """Ask the broker about every order that is in flight; one it has never heard of is sent again.

        Raises:
            EngineUnavailableError: it is silent again; nothing can fill before it is known what it has.
        """
        known = []
        for order in sorted(books.open_orders, key=lambda order: order.intent.client_order_id):
            if not order.is_acknowledged:
                found = self.others.broker.order(order.intent.client_order_id)
                known.append(found or self.others.broker.submit(order.intent))
        self._acknowledge(books, known)

    def _acknowledge(self, books: SessionBooks, orders: list[Order]) -> None:
        """Record the broker's word."""
        theirs = {order.intent.client_order_id: str(order.broker_order_id) for order in orders}
        if not theirs:
            return
        name = self.others.broker.name
        events = [
            Event(
                "OrderAccepted",
                order.intent.as_of,
                {"client_order_id": client, "broker": name, "broker_order_id": their},
            )
            for order in orders
            for client, their in [(order.intent.client_order_id, theirs[order.intent.client_order_id])]
        ]
        with self.conn.transaction():
            self._ledger.write_acknowledgements(name, theirs)
            append(self.conn, self.session.session_id, events)
        books.open_orders[:] = [
            acknowledged(order) if order.intent.client_order_id in theirs else order for order in books.open_orders
        ]
        self.crash.passes(CrashPoint.ORDERS_ACKNOWLEDGED)

    def _close(self, last: BarGroup) -> None:
        """Say in the chain that the session is over, anchor its head, and only then call it finished."""
        session_id = self.session.session_id
        with self.conn.transaction():
            newest = self.conn.execute(
                "select kind from trading.events where session_id = %s order by sequence desc limit 1", (session_id,)
            ).fetchone()
            if newest is None or newest[0] != "SessionFinished":
                finished = {"last_timestamp": last.timestamp.isoformat()}
                append(self.conn, session_id, [Event("SessionFinished", last.known_at, finished)])
        self.crash.passes(CrashPoint.SESSION_CLOSED)
        anchor = store_anchor(self.others.anchors, session_id, head(self.conn, session_id))
        self.crash.passes(CrashPoint.ANCHOR_STORED)
        now = self.wall()
        with self.conn.transaction():
            record_anchor(self.conn, anchor, now=now)
            self.conn.execute(
                "update trading.sessions set status = 'finished', finished_at = %s where session_id = %s",
                (now, session_id),
            )

    def _is_finished(self) -> bool:
        found = self.conn.execute(
            "select status = 'finished' from trading.sessions where session_id = %s", (self.session.session_id,)
        ).fetchone()
        return bool(found and found[0])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other process run this session meanwhile."""
        key = f"session:{self.session.session_id}"
        try:
            self.conn.execute("set lock_timeout = '10s'")
            self.conn.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        except pg.LockNotAvailable as error:
            raise EngineUnavailableError(
                f"session {self.session.session_id} is being run by another process; wait for it, then run again"
            ) from error
        try:
            yield
        finally:
            if not self.conn.closed and not self.conn.broken:
                self.conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))
