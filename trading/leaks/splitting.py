"""Judge how rows are parted into training and test: training must end, labels included, before testing begins."""

from __future__ import annotations

from typing import Any

from pandas import DataFrame, Series

from trading.errors import InputError
from trading.leaks.declaring import Declared
from trading.leaks.findings import Finding

PART = "part"


def judge_split(declared: Declared, rows: DataFrame, labelled: Series[Any], decided: Series[Any]) -> list[Finding]:
    """Return the first training row whose label is known only after the first test row is decided on.

    Args:
        labelled: By row, when its label is known; NaT if never, and such a row trains nothing.
        decided: By row, when it is decided on.

    Raises:
        InputError: the column `part` is missing, or holds no `train` or no `test`.
    """
    found = set(rows[PART]) if PART in rows else set(rows.columns)
    if not {"train", "test"} <= found:
        raise InputError(
            f"expected {declared.name} to give a column part with train and test, found {sorted(map(str, found))}"
        )
    first_test = decided[rows[PART] == "test"].min()
    late = labelled[(rows[PART] == "train") & (labelled > first_test)]
    if late.empty:
        return []
    symbol, timestamp = late.index.sortlevel("timestamp")[0][0]
    return [
        Finding(
            column=PART,
            symbol=str(symbol),
            timestamp=timestamp.isoformat(),
            decision_at=decided[(symbol, timestamp)].isoformat(),
            moment=first_test.isoformat(),
            future="truncated",
            before="train",
            after="neither",
            difference=None,
            changed_rows=len(late),
            kind="mixed_split",
            cause="bars",
        )
    ]
