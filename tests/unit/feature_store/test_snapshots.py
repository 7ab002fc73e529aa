from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from feature_store.snapshots import Snapshot, read_snapshot, snapshot_id, write_snapshot
from trading.errors import InputError, PayloadHashError


class MemoryStore:
    """The part of an object store that a snapshot uses."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put_at(self, key: str, payload: bytes) -> None:
        self.kept[key] = payload

    def put_file(self, key: str, path: Path) -> None:
        self.kept[key] = path.read_bytes()

    def get(self, key: str, sha256: str) -> bytes:
        return self.kept[key]


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["X", "X"],
            "timestamp": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True).astype("datetime64[us, UTC]"),
            "watermark": [3, 5],
            "close": [1.5, float("nan")],
        }
    )


def test_the_same_rows_are_the_same_snapshot_whatever_their_index() -> None:
    assert snapshot_id(frame().set_index(pd.Index([7, 9]))) == snapshot_id(frame())


def test_the_resolution_of_times_is_no_part_of_the_identity() -> None:
    finer = frame()
    finer["timestamp"] = finer["timestamp"].astype("datetime64[ns, UTC]")
    assert snapshot_id(finer) == snapshot_id(frame())


@pytest.mark.parametrize("changed", [0, 1, 2, 3], ids=["value", "order", "column", "name"])
def test_other_rows_are_another_snapshot(changed: int) -> None:
    other = frame()
    if changed == 0:
        other.loc[0, "close"] = 1.5000000000000002
    elif changed == 1:
        other = other.iloc[::-1]
    elif changed == 2:
        other = other.drop(columns="watermark")
    else:
        other = other.rename(columns={"close": "open"})
    assert snapshot_id(other) != snapshot_id(frame())


def test_a_snapshot_is_read_back_and_says_up_to_where_it_was_read() -> None:
    store = MemoryStore()
    snapshot = write_snapshot(frame(), store)  # type: ignore[arg-type]
    assert (snapshot.rows, snapshot.watermark) == (2, 5)
    assert snapshot_id(read_snapshot(snapshot, store)) == snapshot.snapshot_id  # type: ignore[arg-type]


def test_a_snapshot_of_other_rows_is_refused() -> None:
    store = MemoryStore()
    kept = write_snapshot(frame(), store)  # type: ignore[arg-type]
    wrong = Snapshot("0" * 64, kept.key, kept.sha256, kept.rows, kept.watermark)
    with pytest.raises(PayloadHashError, match="identity"):
        read_snapshot(wrong, store)  # type: ignore[arg-type]


def test_what_is_no_feature_is_refused() -> None:
    with pytest.raises(InputError, match="found None"):
        snapshot_id(pd.DataFrame({"symbol": pd.Series([None], dtype=object)}))


def test_the_identity_is_the_one_that_earlier_releases_gave() -> None:
    """A literal of release 0.1.0: models name their training set by it."""
    assert snapshot_id(frame()) == "a7a705abab0ae5a30b0628c3504311544245e5761f85d3042bd8d7473b784519"


@pytest.mark.parametrize("cuts", [[1], [2, 2, 5], [], [3]], ids=["first alone", "an empty batch", "whole", "halves"])
def test_the_cuts_between_batches_are_no_part_of_a_snapshot(cuts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_store.snapshots.ROW_GROUP", 2)
    rows = pd.concat([frame(), frame().assign(symbol="Y", watermark=4), frame().assign(symbol="Z", watermark=1)])
    edges = [0, *cuts, len(rows)]
    batches = (rows.iloc[first:last] for first, last in pairwise(edges))
    store, whole = MemoryStore(), write_snapshot(rows, MemoryStore())  # type: ignore[arg-type]
    snapshot = write_snapshot(batches, store)  # type: ignore[arg-type]
    assert snapshot == whole
    assert (snapshot.rows, snapshot.watermark) == (6, 5)
    assert read_snapshot(snapshot, store).equals(rows.reset_index(drop=True))  # type: ignore[arg-type]


def test_batches_of_other_columns_and_no_batch_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="expected batches of the same columns"):
        write_snapshot([frame(), frame().drop(columns="close")], MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected rows to keep, found no batch"):
        write_snapshot([], MemoryStore())  # type: ignore[arg-type]
