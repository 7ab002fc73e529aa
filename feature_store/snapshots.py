"""Snapshots: the exact rows a model was trained on, as Parquet in the object store.

Two hashes. `snapshot_id` is the identity of the rows themselves: canonical bytes, the same wherever and with whatever
library they are written. `sha256` is of the Parquet file, to know that the bytes read are the bytes written.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trading.adapters.object_store import ObjectStore
from trading.errors import InputError, PayloadHashError
from trading.identity import canon
from trading.ingestion.ports import PayloadStore

if TYPE_CHECKING:
    from pandas import DataFrame


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
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(canon(str(name)))
    digest.update(struct.pack(">q", len(frame)))
    for name in frame.columns:
        digest.update(_column_digest(name, frame[name]))
    return digest.hexdigest()


def write_snapshot(frame: DataFrame, store: ObjectStore) -> Snapshot:
    """Keep `frame` as Parquet in `store` under its identity; the same rows again are the same snapshot.

    Raises:
        EngineUnavailableError, DiskFullError: the store does not answer, or has no space left.
    """
    identity = snapshot_id(frame)
    payload = _as_parquet(frame)
    sha256 = hashlib.sha256(payload).hexdigest()
    key = f"snapshots/{identity}/{sha256}.parquet"
    store.put_at(key, payload)
    watermark = int(frame["watermark"].max()) if "watermark" in frame and len(frame) else None
    return Snapshot(identity, key, sha256, len(frame), watermark)


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


def _as_parquet(frame: DataFrame) -> bytes:
    target = io.BytesIO()
    frame.reset_index(drop=True).to_parquet(target, engine="pyarrow", compression="zstd", index=False)
    return target.getvalue()


def _column_digest(name: str, column: Any) -> bytes:
    """Return the digest of one column: its kind, then every value in canonical bytes."""
    kind = column.dtype.kind
    digest = hashlib.sha256()
    if kind == "f":
        # One buffer of big-endian doubles; a missing number is the one NaN that NumPy writes.
        digest.update(b"f" + column.to_numpy(dtype=">f8", na_value=float("nan")).tobytes())
    elif kind in "iu":
        digest.update(b"i" + column.to_numpy(dtype=">i8").tobytes())
    elif kind == "M":
        _update(digest, (_moment(name, value) for value in column))
    else:
        _update(digest, (_text(name, value) for value in column))
    return digest.digest()


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
