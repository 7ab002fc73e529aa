"""What is expected of each kind of row, as Great Expectations suites. Every expectation names its rule.

The rules are those of the table's contract (trading/contracts); here they become expectations.

Range expectations of Great Expectations skip missing values, so each column that must be there has its own rule. The
frame holds prices as float64: decimals of up to 15 digits keep their order in it, and the table's own constraints judge
the exact values again.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from trading.contracts.contract import DUPLICATE, MISSING, Bound, Column, Expectation, Pair
from trading.contracts.load import contracts, rules_of
from trading.ingestion.reader import Kind

# Rule -> what it says, for reports and for people. Rules without an expectation are told by the parser's cells.
RULES = rules_of(contracts().values())


def great_expectations() -> Any:
    """Import Great Expectations (2-5 s) with its telemetry off, which it reads from the environment at import."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports sre_constants
        import great_expectations as gx
        import great_expectations.expectations
    return gx


def expectations(kind: Kind) -> list[Any]:
    """Return the expectations of a kind, each with `meta={"rule": ...}`, as its contract says them."""
    expect, contract = great_expectations().expectations, contracts()[kind]
    found = [
        *(_not_null(expect, column.name, MISSING) for column in contract.columns if column.required),
        *(one for column in contract.columns for one in _in_range(expect, column)),
        *(_of_rule(expect, one, rule.name) for rule in contract.rules for one in rule.expectations),
    ]
    return [*found, _unique(expect, [name for name in contract.key if name != "source"])]


def _in_range(expect: Any, column: Column) -> list[Any]:
    if column.range is None or column.range.rule is None:
        return []
    rule, bounds = column.range.rule, column.range
    found = [_compared(expect, column.name, rule, *comparison) for comparison in bounds.comparisons()]
    if bounds.one_of:
        found.append(_in_set(expect, column.name, list(bounds.one_of), rule))
    return found


def _of_rule(expect: Any, wanted: Expectation, rule: str) -> Any:
    if wanted.ordered:
        return _ordered(expect, wanted.ordered, rule)
    if wanted.above:
        return _compared(expect, wanted.above.column, rule, ">", wanted.above.limit)
    if wanted.equal:
        return expect.ExpectColumnPairValuesToBeEqual(
            column_A=wanted.equal[0],
            column_B=wanted.equal[1],
            ignore_row_if="either_value_is_missing",
            meta={"rule": rule},
        )
    if wanted.is_true:
        return _in_set(expect, wanted.is_true, [True], rule)
    return _not_null(expect, str(wanted.not_null), rule)


def _not_null(expect: Any, column: str, rule: str) -> Any:
    return expect.ExpectColumnValuesToNotBeNull(column=column, meta={"rule": rule})


def _in_set(expect: Any, column: str, values: list[Any], rule: str) -> Any:
    return expect.ExpectColumnValuesToBeInSet(column=column, value_set=values, meta={"rule": rule})


def _compared(expect: Any, column: str, rule: str, operator: str, bound: Bound) -> Any:
    end = "min" if operator.startswith(">") else "max"
    arguments = {f"{end}_value": bound, f"strict_{end}": not operator.endswith("=")}
    return expect.ExpectColumnValuesToBeBetween(column=column, meta={"rule": rule}, **arguments)


def _ordered(expect: Any, pair: Pair, rule: str) -> Any:
    return expect.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=pair.greater,
        column_B=pair.smaller,
        or_equal=not pair.strict,
        ignore_row_if="either_value_is_missing",
        meta={"rule": rule},
    )


def _unique(expect: Any, columns: list[str]) -> Any:
    if len(columns) == 1:
        return expect.ExpectColumnValuesToBeUnique(column=columns[0], meta={"rule": DUPLICATE})
    return expect.ExpectCompoundColumnsToBeUnique(
        column_list=columns, ignore_row_if="any_value_is_missing", meta={"rule": DUPLICATE}
    )
