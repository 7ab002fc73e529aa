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
