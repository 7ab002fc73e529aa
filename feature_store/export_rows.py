"""The rows of an export, a year at a time: a COPY in text, read as columns while it comes.

Every value passes unchanged: PostgreSQL writes floats so that they come back bit for bit, prices stay decimals of their
own scale, times go as microseconds.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from feature_store.retention import was_compacted
from feature_store.views import shape_of
from trading.errors import CompactedError

BARS = "raw.price_bars"
_BLOCK = 1 << 22  # bytes of text that become one batch
_BAR_COLUMNS = {
    "source": "text", "symbol": "text", "interval": "text", "timestamp": "time", "open": "price", "high": "price",
    "low": "price", "close": "price", "volume": "size", "adjustment": "text", "nominal_at": "time", "known_at": "time",
    "watermark": "number", "bar_id": "number", "row_hash": "hash",
}  # fmt: skip
_ROWS = """
copy (
    select distinct on (v.source, v.symbol, v.timestamp) {fields}
    from {view} as v
    where {chosen} and v.timestamp >= {first} and v.timestamp < {after}
    order by v.source, v.symbol, v.timestamp, v.known_at desc, v.watermark desc, v.{row} desc
) to stdout (format csv)
"""
# A version that was taken away is missed where nothing newer of its key stands that the question knows.
_TAKEN_AWAY = """
select c.symbol, c.timestamp
from features.compacted_rows as c
where c.definition = {definition} and c.interval = {interval} and c.known_at <= {as_of} and c.watermark <= {watermark}
    and not exists (
        select from {view} as v
        where v.definition = c.definition and v.source = c.source and v.symbol = c.symbol and v.interval = c.interval
            and v.timestamp = c.timestamp and v.known_at <= {as_of} and v.watermark <= {watermark}
            and (v.known_at, v.watermark) > (c.known_at, c.watermark)
    )
limit 1
"""
_YEARS = """
select extract(year from min(v.timestamp) at time zone 'UTC'), extract(year from max(v.timestamp) at time zone 'UTC')
from {view} as v
where {chosen}
"""


@dataclass(frozen=True)
class ExportQuestion:
    """What an export answers: the rows of a view at an interval, each in its newest version as of (as_of, watermark).

    Attributes:
        view: `raw.price_bars`, or a view of features, which has a definition and columns as well.
        source: None: of every source.
    """

    view: str
    interval: str
    as_of: datetime
    watermark: int
    definition: str | None = None
    columns: tuple[str, ...] = ()
    source: str | None = None

    @property
    def prefix(self) -> str:
        """Where its files lie. The writer is part of the name: another version of it writes other bytes."""
        import pyarrow

        said = json.dumps([self.as_dict(), f"pyarrow {pyarrow.__version__}"], sort_keys=True)
        return f"exports/{hashlib.sha256(said.encode()).hexdigest()}"

    def as_dict(self) -> dict[str, Any]:
        """Return the question as JSON can hold it."""
        return asdict(self) | {"as_of": self.as_of.isoformat(), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, of: dict[str, Any]) -> ExportQuestion:
        """Return the question that `as_dict` wrote."""
        read = {"as_of": datetime.fromisoformat(of["as_of"]), "columns": tuple(of["columns"])}
        return cls(**{**of, **read})

    def kinds(self) -> dict[str, str]:
        """Return column -> kind, in the order of the file."""
        if self.view == BARS:
            return dict(_BAR_COLUMNS)
        times = dict.fromkeys(("timestamp", shape_of(self.view).decision_column, "known_at"), "time")
        identity = {"source": "text", "symbol": "text", "interval": "text", **times}
        numbers = {"watermark": "number", "row_id": "number", "row_hash": "hash"}
        return identity | numbers | dict.fromkeys(self.columns, "feature")


def schema_of(question: ExportQuestion) -> Any:
    """Return the Arrow schema of the files."""
    import pyarrow as pa

    types = {
        "text": pa.string(), "hash": pa.string(), "time": pa.timestamp("us", "UTC"), "number": pa.int64(),
        "price": pa.decimal128(15, 6), "size": pa.decimal128(20, 8), "feature": pa.float64(),
    }  # fmt: skip
    return pa.schema([(name, types[kind]) for name, kind in question.kinds().items()])


def years_of(conn: psycopg.Connection, question: ExportQuestion) -> range:
    """Return the years (UTC) from the first row of the answer to the last."""
    query = sql.SQL(_YEARS).format(view=_view(question), chosen=_chosen(question))
    first, last = conn.execute(query).fetchone() or (None, None)
    return range(int(first), int(last) + 1) if first is not None else range(0)


def batches(conn: psycopg.Connection, question: ExportQuestion, year: int) -> Iterator[Any]:
    """Yield the rows of a year as Arrow record batches, in the order source, symbol, timestamp."""
    from pyarrow import PythonFile, csv

    kinds, schema = question.kinds(), schema_of(question)
    query = sql.SQL(_ROWS).format(
        fields=sql.SQL(", ").join(_field(name, kind) for name, kind in kinds.items()), view=_view(question),
        chosen=_chosen(question), first=sql.Literal(f"{year}-01-01 00:00+00"), after=sql.Literal(f"{year + 1}-01-01 00:00+00"),
        row=sql.Identifier("bar_id" if question.view == BARS else "row_id"),
    )  # fmt: skip
    # Times come as whole numbers: a cast of what was read, not a parser of dates.
    read = {field.name: "int64" if kinds[field.name] == "time" else field.type for field in schema}
    reading = csv.ReadOptions(column_names=list(kinds), block_size=_BLOCK, use_threads=False)
    converting = csv.ConvertOptions(column_types=read, null_values=[""], strings_can_be_null=False)
    with conn.cursor().copy(query) as stream:
        arriving = _Arriving(stream)
        if not arriving.is_empty:  # an empty file has no columns, which the reader refuses
            with csv.open_csv(PythonFile(arriving, "r"), read_options=reading, convert_options=converting) as parts:
                yield from (part.cast(schema) for part in parts)


def refuse_taken_away(conn: psycopg.Connection, question: ExportQuestion) -> None:
    """Do nothing if every version that the question asks for stands.

    Raises:
        CompactedError: retention took one of them away.
    """
    if question.definition is None or not was_compacted(conn, question.definition):
        return
    asked = {name: sql.Literal(getattr(question, name)) for name in ("definition", "interval", "watermark")}
    moment = sql.Literal(question.as_of.isoformat())
    found = conn.execute(sql.SQL(_TAKEN_AWAY).format(view=_view(question), as_of=moment, **asked)).fetchone()
    if found is not None:
        raise CompactedError(
            f"expected every version as of {question.as_of.isoformat()}, found that the one of {found[0]} at {found[1]} "
            "was compacted; ask for a later time or watermark"
        )


def hashes_of(table: Any) -> bytes:
    """Return the hex row hashes of a table one after the other."""
    return "".join(table.column("row_hash").to_pylist()).encode()


class _Arriving(io.RawIOBase):
    """A COPY as a file that is read once; PostgreSQL gives it row by row."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._held = bytes(stream.read())
        self.is_empty = not self._held

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, length = [self._held], len(self._held)
        while length < size or size < 0:
            row = bytes(self._stream.read())
            if not row:
                break
            parts.append(row)
            length += len(row)
        whole = b"".join(parts)
        cut = len(whole) if size < 0 else size
        self._held = whole[cut:]
        return whole[:cut]


def _field(name: str, kind: str) -> sql.Composable:
    column = sql.SQL("v.{}").format(sql.Identifier(name))
    if kind == "time":
        return sql.SQL("(extract(epoch from {}) * 1000000)::bigint").format(column)
    return sql.SQL("encode({}, 'hex')").format(column) if kind == "hash" else column


def _view(question: ExportQuestion) -> sql.Identifier:
    if question.view != BARS:
        shape_of(question.view)
    return sql.Identifier(*question.view.split("."))


def _chosen(question: ExportQuestion) -> sql.Composable:
    asked: Sequence[tuple[str, Any]] = [
        ("v.interval = {}", question.interval),
        ("v.known_at <= {}", question.as_of.isoformat()),
        ("v.watermark <= {}", question.watermark),
    ]
    asked = [*asked, *([("v.definition = {}", question.definition)] if question.definition else [])]
    asked = [*asked, *([("v.source = {}", question.source)] if question.source else [])]
    return sql.SQL(" and ").join(sql.SQL(words).format(sql.Literal(value)) for words, value in asked)
