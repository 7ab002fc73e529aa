"""The door to features, for notebooks, training and services: rows and frames as they were known.

from feature_store import FeatureStore

store = FeatureStore(postgres_url)
service = store.newest_service("trader-daily")
store.features(service, ["AAPL", "MSFT"], as_of=...)     # history, as known at one moment
store.row(service, "AAPL", as_of=..., watermark=...)     # what a decision is made from
store.as_of_join(service, entities)                      # a million (symbol, as_of) questions at once
store.training_set(service, ["AAPL"], start, end)        # each row as known when it was decided on
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from feature_store import asof, definitions, offline, registry, services
from feature_store.ages import Calendars
from feature_store.connections import Readers
from feature_store.copies import Copies
from feature_store.definitions import Definition
from feature_store.offline import History
from feature_store.online import NEWEST, Series, latest_rows, row_columns, to_row
from feature_store.questions import Questions, questions
from feature_store.retention import refuse_compacted, was_compacted
from feature_store.rows import FeatureRow
from feature_store.services import FeatureService
from feature_store.views import DAILY
from trading.adapters import charts
from trading.adapters.known_names import refuse_unknown_interval
from trading.adapters.replicas import is_replica
from trading.adapters.warehouse import newest_watermark
from trading.chart_bars.chart import Chart
from trading.errors import InputError, NaiveTimeError
from trading.intervals import refuse_other_than_daily

if TYPE_CHECKING:
    from pandas import DataFrame

_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Recomputed:
    """A row computed anew from raw: its identity (hex), when it was known, its numbers by column."""

    row_hash: str
    known_at: datetime
    values: dict[str, float | None]


class FeatureStore:
    """Features of one warehouse, read-only; one open connection per thread that asks.

    Args:
        copies: Where large joins keep local copies of rows; what is in it can be deleted at any time. None: the folder
            `cache/features` of TRADELOOM_HOME, or of the user's own cache where that is not set.
    """

    def __init__(self, postgres_url: str, copies: Path | None = None) -> None:
        self._url = postgres_url
        self._copies = Copies(copies or _default_folder())
        self._readers = Readers(postgres_url)
        self._online = Readers(postgres_url, plans_once=True)
        self._calendars = Calendars()
        self._definitions: dict[str, Definition] = {}

    def row(
        self,
        service: FeatureService,
        symbol: str,
        as_of: datetime,
        watermark: int | None = None,
        source: str | None = None,
        interval: str = "1d",
    ) -> FeatureRow | None:
        """Return the newest row of `symbol` known at `as_of` and published by `watermark`; None if there was none.

        It says how old it is (`age_sessions`) and whether its definition allows that (`is_stale`).

        Raises:
            NaiveTimeError: `as_of` has no zone.
            EngineUnavailableError: PostgreSQL does not answer.
            ReplicaBehindError: the URL is a replica's, which does not hold `watermark` yet.
        """
        found = self.latest(service, [symbol], as_of, watermark, source, interval)
        return found[0] if found else None

    def newest_watermark(self) -> int:
        """Return the newest publication that the server holds: what a question without a watermark is answered as of."""
        return self._readers.ask(newest_watermark)

    def reads_replica(self) -> bool:
        """Return whether the server is a replica, which may be behind."""
        return self._readers.ask(is_replica)

    def latest(
        self,
        service: FeatureService,
        symbols: Sequence[str],
        as_of: datetime,
        watermark: int | None = None,
        source: str | None = None,
        interval: str = "1d",
    ) -> list[FeatureRow]:
        """Return `row` of each symbol that has one, in the order asked: one statement, however many there are."""
        asked, moment, names = self._series(service, interval, source), _zoned(as_of), _listed(symbols)
        return self._online.ask(
            lambda conn: latest_rows(conn, asked, names, moment, watermark, self._calendars), watermark
        )

    def features(
        self,
        service: FeatureService,
        symbols: Sequence[str],
        as_of: datetime | None = None,
        watermark: int | None = None,
        source: str | None = None,
        interval: str = "1d",
    ) -> DataFrame:
        """Return the history of the symbols as known at `as_of` (now, if None): one row per bar, newest version.

        Raises:
            InputError: `features.daily` is asked for another interval than 1d, or the symbols have bars, and none of them
                is of this interval (`60m` is no name of `1h`).
        """
        _refuse_other_intervals(service, interval)
        asked = History(
            service.view, service.definition, service.columns, _listed(symbols), interval=interval,
            as_of=_zoned(as_of) if as_of else None, watermark=watermark, source=source,
        )  # fmt: skip
        found = self._readers.ask(partial(offline.history, asked=asked), watermark)
        if found.empty:
            self._readers.ask(partial(refuse_unknown_interval, interval=interval, symbols=symbols))
        return found

    def as_of_join(
        self, service: FeatureService, entities: DataFrame, watermark: int | None = None, interval: str = "1d"
    ) -> DataFrame:
        """Return `entities` with the features of the latest row known at each one's moment, in its newest version.

        Args:
            entities: Columns `symbol` and `as_of` (times with a zone), perhaps `source`; others are carried along.
            watermark: Only what was published up to it; everything, if None.

        Returns:
            The rows in their order and under their index, with `source` (unless given), `timestamp`, `known_at`,
            `decision_at`, `watermark`, `row_id` and the service's columns; all of them empty where nothing was known.

        Raises:
            InputError, NaiveTimeError: the frame asks for nothing that can be answered.
        """
        asked, of = questions(entities, service.columns), self._series(service, interval, None)
        return self._readers.ask(lambda conn: self._joined(conn, of, service.columns, asked, watermark), watermark)

    def training_set(
        self,
        service: FeatureService,
        symbols: Sequence[str],
        start: datetime,
        end: datetime,
        as_of: datetime | None = None,
        watermark: int | None = None,
        source: str | None = None,
    ) -> DataFrame:
        """Return the bars with start <= timestamp <= end, each as it was known when it was first decided on.

        A later revision of a bar or of a headline is not in it, as it was not there for the decision. Nor is a row that
        came so late that its definition's limit on age (`max_age_sessions`) would have refused the decision.
        """
        asked = self._training(service, symbols, start, end, as_of, watermark, source)
        return self._readers.ask(partial(offline.at_decision, asked=asked), watermark)

    def training_batches(
        self,
        service: FeatureService,
        symbols: Sequence[str],
        start: datetime,
        end: datetime,
        as_of: datetime | None = None,
        watermark: int | None = None,
        source: str | None = None,
        batch_rows: int = offline.BATCH_ROWS,
    ) -> Iterator[DataFrame]:
        """Yield what `training_set` returns, a batch at a time, for sets that no memory holds (`write_snapshot`)."""
        asked = self._training(service, symbols, start, end, as_of, watermark, source)
        readers = Readers(self._url)  # its own connection: its transaction lasts as long as the caller reads
        try:
            yield from readers.ask(lambda conn: offline.batches_at_decision(conn, asked, batch_rows), watermark)
        finally:
            readers.close()

    def verify(self, row: FeatureRow) -> bool:
        """Return whether the row says what its hash was taken of."""
        form = int(self._definition(row.definition).parameters.get("row_hash", 1))
        return row.computed_hash(form) == row.row_hash

    def by_id(self, view: str, row_id: int) -> FeatureRow | None:
        """Return one stored row by its number; None if there is none."""
        return self._readers.ask(partial(self._by_id, view, row_id))

    def recompute(
        self,
        definition: str,
        source: str,
        symbol: str,
        interval: str,
        timestamp: datetime,
        as_of: datetime,
        watermark: int,
    ) -> Recomputed | None:
        """Return a row computed anew from raw under its own definition, as the store answered at (as_of, watermark).

        Reads no derived row: bars, splits, news and scores only. None if there was nothing to answer with.
        """
        asked = (definition, source, symbol, interval, _zoned(timestamp), _zoned(as_of), watermark)
        found = self._readers.ask(
            lambda conn: conn.execute(
                "select row_hash, known_at, columns, numbers from features.recompute(%s, %s, %s, %s, %s, %s, %s)", asked
            ).fetchone(),
            watermark,
        )
        if found is None:
            return None
        row_hash, known_at, columns, numbers = found
        return Recomputed(row_hash.hex(), known_at, dict(zip(columns, numbers, strict=True)))

    def newest_service(
        self, name: str, columns: Sequence[str] = services.DEFAULT_COLUMNS, view: str = DAILY
    ) -> FeatureService:
        """Return a service on a view's active definition, by default of the columns that our models read of a day.

        Raises:
            InputError: the definition lacks one of the columns, or the view was never built.
        """
        return services.newest_service(self._url, name, view=view, columns=tuple(columns))

    def chart_bars(
        self,
        chart: Chart,
        source: str,
        symbol: str,
        as_of: datetime | None = None,
        watermark: int | None = None,
        last: int = 1_000,
    ) -> DataFrame:
        """Return the newest closed bars of a kept chart as known at `as_of` (now, if None), oldest first; exact Decimals.

        Raises:
            InputError: the chart was never declared of this symbol.
        """
        from pandas import DataFrame

        asked = _zoned(as_of) if as_of else _EVER
        return DataFrame(charts.read_bars(self._url, chart, source, symbol, asked, watermark, last))

    def catalog(self, service: FeatureService) -> DataFrame:
        """Return what the service's columns are, in its order: `feature`, `unit`, `first_value_at_bar`, `description`."""
        from pandas import DataFrame

        listed = self._readers.ask(partial(registry.features, definition=service.definition))
        words = {one.name: (one.name, one.unit, one.warm_up_bars, one.description) for one in listed}
        columns = ["feature", "unit", "first_value_at_bar", "description"]
        return DataFrame([words[name] for name in service.columns], columns=columns)

    def close(self) -> None:
        """Close the calling thread's connections."""
        self._readers.close()
        self._online.close()

    def _training(
        self,
        service: FeatureService,
        symbols: Sequence[str],
        start: datetime,
        end: datetime,
        as_of: datetime | None,
        watermark: int | None,
        source: str | None,
    ) -> History:
        return History(
            service.view, service.definition, service.columns, _listed(symbols),
            as_of=_zoned(as_of) if as_of else None, watermark=watermark, source=source,
            start=_zoned(start), end=_zoned(end),
            max_age_sessions=self._series(service, "1d", source).max_age_sessions,
        )  # fmt: skip

    def _joined(
        self, conn: psycopg.Connection, of: Series, columns: Sequence[str], asked: Questions, watermark: int | None
    ) -> DataFrame:
        missing = self._copies.rows_missing(conn, of) if len(asked) > asof.FEW else 0
        if asof.plan_of(len(asked), missing) is asof.Plan.LOOKUPS:
            joined = asof.lookups(conn, of, columns, asked, watermark)
        else:
            joined = asof.by_copy(conn, self._copies, of, columns, asked, watermark)
        if was_compacted(conn, of.definition):
            known = joined[joined["row_id"].notna()]
            moments = [moment.to_pydatetime() for moment in known["as_of"]]
            upto = NEWEST if watermark is None else watermark
            refuse_compacted(conn, of.definition, of.interval, offline.answered(known, moments), upto)
        return joined

    def _by_id(self, view: str, row_id: int, conn: psycopg.Connection) -> FeatureRow | None:
        relation = sql.Identifier(*view.split("."))
        named = conn.execute(
            sql.SQL("select definition from {} where row_id = %s").format(relation), (row_id,)
        ).fetchone()
        if named is None:
            return None
        series = self._series_of(self._definition(named[0]))
        query = sql.SQL("select {} from {} as r where r.row_id = %s").format(
            row_columns(view, series.columns), relation
        )
        found = conn.execute(query, (row_id,)).fetchone()
        return None if found is None else to_row(series, found)

    def _series(self, service: FeatureService, interval: str, source: str | None) -> Series:
        _refuse_other_intervals(service, interval)
        return replace(self._series_of(self._definition(service.definition)), interval=interval, source=source)

    @staticmethod
    def _series_of(of: Definition) -> Series:
        limit = of.parameters.get("max_age_sessions")
        return Series(of.view, of.definition, of.columns, None if limit is None else int(limit))

    def _definition(self, name: str) -> Definition:
        if name not in self._definitions:
            self._definitions[name] = definitions.definition(self._url, name)
        return self._definitions[name]


def _refuse_other_intervals(service: FeatureService, interval: str) -> None:
    if service.view == DAILY:
        refuse_other_than_daily(interval, f"{DAILY} has a row")


def _default_folder() -> Path:
    home = os.environ.get("TRADELOOM_HOME")
    cache = Path(home) / "cache" if home else Path.home() / ".cache" / "tradeloom"
    return cache.expanduser() / "features"


def _listed(symbols: Sequence[str]) -> list[str]:
    """Return the symbols; a text is a sequence too, of its letters, and would find nothing."""
    if isinstance(symbols, str):
        raise InputError(f"expected a list of symbols, found the text {symbols!r}; write [{symbols!r}]")
    return list(symbols)


def _zoned(moment: datetime) -> datetime:
    if not isinstance(moment, datetime):
        raise InputError(f"expected a datetime with a zone, found {moment!r}; use datetime.fromisoformat")
    if moment.tzinfo is None:
        raise NaiveTimeError(f"expected a date-time with a zone, found {moment.isoformat()}; add one, such as +00:00")
    return moment
