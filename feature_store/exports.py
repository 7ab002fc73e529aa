"""Exports for research: rows as of (t, w) as Parquet in the object store, one file per year, read by DuckDB or any engine.

An export is the answer to one question, and the question names it: what was published later is in no export that was
made for an earlier watermark, so the same question again gives the same rows under the same keys. A file is written
under the hash of its bytes, and the list of the files (`key`) comes last: an export that was cut off has none.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

from feature_store.definitions import active, definition
from feature_store.export_rows import BARS, ExportQuestion, batches, hashes_of, refuse_taken_away, schema_of, years_of
from feature_store.views import DAILY, shape_of
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import connection
from trading.adapters.replicas import hold
from trading.adapters.warehouse import newest_watermark
from trading.errors import InputError, NaiveTimeError
from trading.intervals import refuse_other_than_daily

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

ROW_GROUP = 65_536  # rows
_NOTED = b"tradeloom"  # where a file says which question it answers


@dataclass(frozen=True)
class ExportFile:
    """One year of an export.

    Attributes:
        key: Where it lies; sha256 (hex) of its bytes.
        rows_sha256: sha256 (hex) over the hex row hashes in the order of the file: the same rows, whoever wrote them.
    """

    year: int
    key: str
    sha256: str
    rows: int
    rows_sha256: str


@dataclass(frozen=True)
class Export:
    """The answer to a question, in the object store.

    Attributes:
        key, sha256: Of the list of its files.
    """

    question: ExportQuestion
    files: tuple[ExportFile, ...]
    key: str
    sha256: str

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return the export as JSON can hold it."""
        files = [asdict(file) for file in self.files]
        return {"key": self.key, "sha256": self.sha256, "rows": self.rows, **self.question.as_dict(), "files": files}


def write_export(url: str, store: ObjectStore, question: ExportQuestion) -> Export:
    """Put the rows that answer a question into the store, a year at a time; what is held in memory is one row group.

    Raises:
        InputError: the watermark was not published yet, or there is no such row at all.
        ReplicaBehindError: `url` is a replica's, which does not hold the watermark yet.
        CompactedError: retention took a version away that the question asks for.
        EngineUnavailableError, DiskFullError: an engine failed; the same call again completes the work.
    """
    files = []
    with connection(url, application="tradeloom-export") as conn:
        hold(conn, question.watermark)
        _refuse_unpublished(conn, question.watermark)
    with connection(url, application="tradeloom-export") as conn:
        # One view of the rows for all years: retention may run beside us.
        conn.execute("set transaction isolation level repeatable read, read only")
        conn.execute("set local work_mem = '64MB'")
        refuse_taken_away(conn, question)
        for year in years_of(conn, question):
            file = _written(conn, store, question, year)
            if file.rows:
                files.append(file)
    if not files:
        raise InputError(f"expected rows of {question.view} to export, found none as of {question.as_of.isoformat()}")
    listed = json.dumps(question.as_dict() | {"files": [asdict(file) for file in files]}, sort_keys=True).encode()
    sha256 = hashlib.sha256(listed).hexdigest()
    key = f"{question.prefix}/{sha256}.json"
    store.put_at(key, listed)
    return Export(question, tuple(files), key, sha256)


def read_export(store: ObjectStore, key: str) -> Export:
    """Return the export whose list of files lies under `key`, the list checked against the hash in its name.

    Raises:
        PayloadHashError: nothing lies there, or something else.
    """
    sha256 = Path(key).stem
    listed = json.loads(store.get(key, sha256))
    files = tuple(ExportFile(**file) for file in listed.pop("files"))
    return Export(ExportQuestion.from_dict(listed), files, key, sha256)


def dataset_of(store: ObjectStore, export: Export) -> Dataset:
    """Return an export as a dataset over S3, which reads only the columns, years and row groups that are asked for.

    DuckDB asks it by the name of the variable: `duckdb.sql("select ... from rows where year = 2024")`.
    """
    from pyarrow import dataset, fs

    parts = urlsplit(store.endpoint)
    files = fs.S3FileSystem(
        access_key=store.access_key, secret_key=store.secret_key, region=store.region,
        endpoint_override=parts.netloc, scheme=parts.scheme,
    )  # fmt: skip
    paths = [f"{store.bucket}/{file.key}" for file in export.files]
    by_year = dataset.partitioning(flavor="hive")
    root = f"{store.bucket}/{export.question.prefix}"
    return dataset.dataset(paths, filesystem=files, format="parquet", partitioning=by_year, partition_base_dir=root)


def _written(conn: psycopg.Connection, store: ObjectStore, question: ExportQuestion, year: int) -> ExportFile:
    from pyarrow.parquet import ParquetWriter

    identity, rows = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(prefix="tradeloom-export-") as folder:
        path = Path(folder) / "rows.parquet"
        with ParquetWriter(path, schema_of(question), compression="zstd") as writer:
            for batch in _grouped(batches(conn, question, year)):
                identity.update(hashes_of(batch))
                rows += len(batch)
                writer.write_table(batch)
            noted = question.as_dict() | {"year": year, "rows": rows, "rows_sha256": identity.hexdigest()}
            writer.add_key_value_metadata({_NOTED: json.dumps(noted, sort_keys=True)})
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        key = f"{question.prefix}/year={year}/{sha256}.parquet"
        if rows:
            store.put_file(key, path)
    return ExportFile(year, key, sha256, rows, identity.hexdigest())


def _grouped(parts: Iterator[Any]) -> Iterator[Any]:
    """Yield tables of one row group each: where the stream was cut is no part of a file."""
    from pyarrow import Table, concat_tables

    waiting: Any = None
    for part in parts:
        table = Table.from_batches([part])
        waiting = table if waiting is None else concat_tables([waiting, table])
        while len(waiting) >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP).combine_chunks()
    if waiting is not None and len(waiting):
        yield waiting.combine_chunks()


def _refuse_unpublished(conn: psycopg.Connection, watermark: int) -> None:
    newest = newest_watermark(conn)
    if watermark > newest:
        raise InputError(f"expected a watermark up to {newest}, the newest, found {watermark}: its rows may still come")


def question_of(
    url: str, view: str, as_of: datetime, watermark: int, interval: str = "1d", source: str | None = None
) -> ExportQuestion:
    """Return the question for a view, by its active definition and with all columns of it; bars have none.

    Raises:
        InputError: there is no such view, it was never built, or it has no rows of this interval.
        NaiveTimeError: `as_of` has no zone.
    """
    if as_of.tzinfo is None:
        raise NaiveTimeError(f"expected a date-time with a zone, found {as_of.isoformat()}; add one, such as +00:00")
    moment = as_of.astimezone(UTC)
    if view == BARS:
        return ExportQuestion(BARS, interval, moment, watermark, source=source)
    shape_of(view)
    if view == DAILY:
        refuse_other_than_daily(interval, f"{DAILY} has a row")
    name = active(url, view)
    return ExportQuestion(view, interval, moment, watermark, name, definition(url, name).columns, source)
