"""Snapshots: the exact rows a model was trained on, as Parquet in the object store.

Two hashes. `snapshot_id` is the identity of the rows themselves: canonical bytes, the same wherever and with whatever
library they are written. `sha256` is of the Parquet file, to know that the bytes read are the bytes written.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trading.adapters.object_store import ObjectStore
from trading.errors import InputError, PayloadHashError
from trading.identity import canon
from trading.ingestion.ports import PayloadStore

if TYPE_CHECKING:
    from pandas import DataFrame

ROW_GROUP = 65_536  # rows


@dataclass(frozen=True)
class Snapshot:
    """A frozen training set.

    Attributes:
        snapshot_id: sha256 (hex) over column names, kinds and rows in order.
        key: Where the Parquet file lies in the object store.
        sha256: Of the Parquet file, hex.
        watermark: The publication up to which it was read; None if the frame has no `watermark` column.
    """

    snapshot_id: str
    key: str
    sha256: str
    rows: int
    watermark: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as JSON can hold it."""
        return asdict(self)


def snapshot_id(frame: DataFrame) -> str:
    """Return the identity of a frame's rows: column order and row order count, the index does not.

    Raises:
        InputError: a column holds what no feature column can: NaT, mixed or unknown types.
    """
    identity = RowsIdentity()
    identity.update(frame)
    return identity.hexdigest()


def write_snapshot(rows: DataFrame | Iterable[DataFrame], store: ObjectStore) -> Snapshot:
    """Keep rows as Parquet in `store` under their identity; the same rows again are the same snapshot.

    Args:
        rows: A frame, or batches of one in their order, each with the same columns. Batches are written as they come:
            what is held is one batch and one row group, however many rows there are, and the cuts between batches are
            no part of the snapshot.

    Raises:
        InputError: there is no batch at all, or batches differ in their columns.
        EngineUnavailableError, DiskFullError: the store does not answer, or has no space left.
    """
    from pandas import DataFrame

    with tempfile.TemporaryDirectory(prefix="tradeloom-snapshot-") as folder:
        path = Path(folder) / "rows.parquet"
        identity, watermark = _written([rows] if isinstance(rows, DataFrame) else rows, path)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        key = f"snapshots/{identity.hexdigest()}/{sha256}.parquet"
        store.put_file(key, path)
    return Snapshot(identity.hexdigest(), key, sha256, identity.rows, watermark)


def read_snapshot(snapshot: Snapshot, store: PayloadStore) -> DataFrame:
    """Return the rows of a snapshot, both of its hashes checked.

    Raises:
        PayloadHashError: nothing lies there, or other bytes or rows do.
    """
    import pandas

    frame = pandas.read_parquet(io.BytesIO(store.get(snapshot.key, snapshot.sha256)))
    found = snapshot_id(frame)
    if found != snapshot.snapshot_id:
        raise PayloadHashError(f"expected snapshot {snapshot.snapshot_id}, found rows with the identity {found}")
    return frame


class RowsIdentity:
    """The identity of rows that come in batches: sha256 over the names, the number of rows, and each column's own hash.

    A column is hashed by itself, its kind and then every value in canonical bytes, so that nothing needs to be held.
    """

    def __init__(self) -> None:
        self._columns: dict[str, tuple[str, Any]] = {}
        self.rows = 0

    def update(self, frame: DataFrame) -> None:
        """Take the next rows in.

        Raises:
            InputError: the columns are not those of the rows before, or one holds what no feature column can.
        """
        kinds = {str(name): _kind(frame[name]) for name in frame.columns}
        if not self._columns:
            self._columns = {name: (kind, hashlib.sha256(kind.encode())) for name, kind in kinds.items()}
        before = {name: kind for name, (kind, _) in self._columns.items()}
        if list(kinds.items()) != list(before.items()):
            raise InputError(f"expected batches of the same columns, found {kinds} after {before}")
        for name, (kind, digest) in self._columns.items():
            _hash_values(digest, kind, name, frame[name])
        self.rows += len(frame)

    def hexdigest(self) -> str:
        """Return the identity of the rows taken in so far."""
        whole = hashlib.sha256()
        for name in self._columns:
            whole.update(canon(name))
        whole.update(struct.pack(">q", self.rows))
        for _, digest in self._columns.values():
            whole.update(digest.digest())
        return whole.hexdigest()


def _kind(column: Any) -> str:
    """Return what a column's hash begins with: f and i for numbers, nothing for times and texts, which say it each."""
    kind = column.dtype.kind
    return "f" if kind == "f" else "i" if kind in "iu" else ""


def _hash_values(digest: Any, kind: str, name: str, column: Any) -> None:
    if kind == "f":
        # One buffer of big-endian doubles; a missing number is the one NaN that NumPy writes.
        digest.update(column.to_numpy(dtype=">f8", na_value=float("nan")).tobytes())
    elif kind == "i":
        digest.update(column.to_numpy(dtype=">i8").tobytes())
    elif column.dtype.kind == "M":
        _update(digest, (_moment(name, value) for value in column))
    else:
        _update(digest, (_text(name, value) for value in column))


def _written(batches: Iterable[DataFrame], path: Path) -> tuple[RowsIdentity, int | None]:
    """Write batches in row groups of one size; return their identity and the newest watermark in them."""
    from pyarrow import concat_tables
    from pyarrow.parquet import ParquetWriter

    identity, watermark = RowsIdentity(), None
    writer: Any = None
    waiting: Any = None
    try:
        for frame in batches:
            identity.update(frame)
            if "watermark" in frame and len(frame):
                watermark = max(watermark or 0, int(frame["watermark"].max()))
            table = _as_table(frame)
            if writer is None:
                writer = ParquetWriter(path, _described(table.schema), compression="zstd")
            table = table.cast(writer.schema)
            waiting = table if waiting is None else concat_tables([waiting, table])
            while len(waiting) > ROW_GROUP:
                writer.write_table(waiting.slice(0, ROW_GROUP), row_group_size=ROW_GROUP)
                waiting = waiting.slice(ROW_GROUP).combine_chunks()  # lets go of what is written
        if writer is None:
            raise InputError("expected rows to keep, found no batch; ask for a window that has some")
        writer.write_table(waiting, row_group_size=ROW_GROUP)
    finally:
        if writer is not None:
            writer.close()
    return identity, watermark


def _as_table(frame: DataFrame) -> Any:
    import pyarrow

    with warnings.catch_warnings():
        # pyarrow 25 reads `Series.values` of zoned times, which pandas 3.1 announces to change.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pyarrow.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)


def _described(schema: Any) -> Any:
    """What pandas notes of a frame names its number of rows, which is a batch's and not the whole one's."""
    metadata = dict(schema.metadata or {})
    noted = json.loads(metadata.get(b"pandas", b"{}"))
    if noted:
        noted["index_columns"] = []
        metadata[b"pandas"] = json.dumps(noted).encode()
    return schema.with_metadata(metadata)


def _update(digest: Any, values: Iterable[str | bool | datetime]) -> None:
    for value in values:
        digest.update(canon(value))


def _moment(name: str, value: Any) -> datetime:
    moment = value.to_pydatetime()
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InputError(f"expected times with a zone in {name}, found {value!r}")
    return moment


def _text(name: str, value: Any) -> str | bool:
    if not isinstance(value, str | bool):
        raise InputError(f"expected texts, numbers or times in {name}, found {value!r} ({type(value).__name__})")
    return value
