"""Two answers of one definition, row by row: which past values are not the same. NaN equals NaN, bits otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame, MultiIndex, Series

from trading.errors import InputError
from trading.leaks.deciding import DECISION
from trading.leaks.findings import ROW_COLUMN
from trading.leaks.world import ROW

Changes = Mapping[str, MultiIndex]  # column -> its rows that changed, by time


def as_rows(name: str, made: Any) -> DataFrame:
    """Return what a definition gave, indexed by symbol and timestamp, in that order.

    Raises:
        InputError: no frame, no symbol or timestamp, times without a zone, or a row that comes twice.
    """
    if not isinstance(made, DataFrame) or not set(ROW) <= set(made.columns):
        found = ", ".join(map(str, made.columns)) if isinstance(made, DataFrame) else type(made).__name__
        raise InputError(f"expected {name} to give a DataFrame with symbol and timestamp, found {found}")
    if not isinstance(made["timestamp"].dtype, pd.DatetimeTZDtype):
        raise InputError(f"expected zoned timestamps of {name}, found {made['timestamp'].dtype}")
    rows = made.astype({"timestamp": "datetime64[us, UTC]"}).set_index(ROW).sort_index()
    if rows.index.has_duplicates:
        raise InputError(
            f"expected one row of {name} per symbol and timestamp, found {rows.index[rows.index.duplicated()][0]} twice"
        )
    return rows


def values(rows: DataFrame) -> list[str]:
    """Return the columns that are judged."""
    return [str(column) for column in rows.columns if column != DECISION]


def changed(
    full: DataFrame, other: DataFrame, decided: Mapping[str, Series[Any]], decided_extra: Series[Any], at: Any
) -> Changes:
    """Return what differs among the rows decided on by `at`.

    Args:
        decided: When each row is decided on, by column where a column's own moment differs.
        decided_extra: The same of the rows that only `other` has.
    """
    found: dict[str, MultiIndex] = {}
    past_of_row = decided[ROW_COLUMN] <= at
    past = full.index[past_of_row.to_numpy()]
    gone = past.difference(other.index)
    extra = decided_extra.index[(decided_extra <= at).to_numpy()]
    if len(gone) or len(extra):
        found[ROW_COLUMN] = _by_time(gone.append(extra))
    for column in values(full):
        judged = full.index[(decided.get(column, decided[ROW_COLUMN]) <= at).to_numpy()].intersection(other.index)
        before = full[column].reindex(judged)
        after = other[column].reindex(judged) if column in other else Series(np.nan, index=judged)
        if (differs := ~same(before, after)).any():
            found[column] = _by_time(judged[differs])
    return found


def differing(one: DataFrame, two: DataFrame) -> Changes:
    """Return in which rows two answers to one question are not the same, whenever they are decided on."""
    found: dict[str, MultiIndex] = {}
    if len(unshared := one.index.symmetric_difference(two.index)):
        found[ROW_COLUMN] = _by_time(MultiIndex.from_tuples(unshared, names=ROW))
    shared = one.index.intersection(two.index)
    for column in values(one):
        after = two[column].reindex(shared) if column in two else Series(np.nan, index=shared)
        if (differs := ~same(one[column].reindex(shared), after)).any():
            found[column] = _by_time(MultiIndex.from_tuples(shared[differs], names=ROW))
    return found


def same(before: Series[Any], after: Series[Any]) -> NDArray[np.bool_]:
    """Return where two columns hold the same value."""
    if before.dtype.kind in "fiub" and after.dtype.kind in "fiub":
        left, right = before.to_numpy(dtype=np.float64), after.to_numpy(dtype=np.float64)
        numbers: NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
        return numbers
    one, two = before.to_numpy(dtype=object), after.to_numpy(dtype=object)
    both_missing: NDArray[np.bool_] = np.asarray(pd.isna(one)) & np.asarray(pd.isna(two))
    equal = np.fromiter((_equal(a, b) for a, b in zip(one, two, strict=True)), dtype=bool, count=len(one))
    either: NDArray[np.bool_] = both_missing | equal
    return either


def value_at(rows: DataFrame, place: Any, column: str) -> Any:
    """Return one value as JSON can hold it; None where it is missing."""
    if column == ROW_COLUMN:
        return "present" if place in rows.index else None
    value = rows[column].get(place) if column in rows else None
    if value is None or pd.isna(value):
        return None
    return (
        float(value)
        if isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        else str(value)
    )


def _equal(one: Any, two: Any) -> bool:
    return bool(not pd.isna(one) and not pd.isna(two) and one == two)


def _by_time(rows: MultiIndex) -> MultiIndex:
    return rows.sortlevel("timestamp", sort_remaining=True)[0]
