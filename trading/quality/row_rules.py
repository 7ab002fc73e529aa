"""A contract's rules asked of one row at a time, for a live feed: is there anything to look at at all?

The verdict on a bad row stays the gate's (gate.py), which judges the whole delivery then. These are the same rules, read
from the same contract; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from trading.contracts.contract import MISSING, Bound, Contract, Expectation
from trading.contracts.load import contracts
from trading.ingestion.reader import Kind

Holds = Callable[[Mapping[str, Any]], bool]


@cache
def row_rules(kind: Kind) -> tuple[tuple[str, str, Holds], ...]:
    """Return (rule, columns, whether a row keeps it) for every expectation of a kind but that of the unique key.

    A row is its values and the facts that its contract names, by column.
    """
    return tuple(_rules(contracts()[kind]))


def keeps_all(kind: Kind, row: Mapping[str, Any]) -> bool:
    """Tell whether a row breaks no rule."""
    return all(holds(row) for _, _, holds in row_rules(kind))


def _rules(contract: Contract) -> Iterator[tuple[str, str, Holds]]:
    for column in contract.columns:
        if column.required:
            yield MISSING, column.name, _is_there(column.name)
    for column in contract.columns:
        if column.range is not None and column.range.rule is not None:
            for operator, bound in column.range.comparisons():
                yield column.range.rule, column.name, _compared(column.name, operator, bound)
            if column.range.one_of:
                yield column.range.rule, column.name, _is_one_of(column.name, column.range.one_of)
    for rule in contract.rules:
        for one in rule.expectations:
            yield rule.name, ", ".join(one.columns()), _expected(one)


def _expected(one: Expectation) -> Holds:
    if one.ordered:
        return _ordered(one.ordered.smaller, one.ordered.greater, one.ordered.strict)
    if one.above:
        return _compared(one.above.column, ">", one.above.limit)
    if one.equal:
        return _equal(*one.equal)
    if one.is_true:
        return _is_one_of(one.is_true, (True,))
    return _is_there(str(one.not_null))


def _is_there(name: str) -> Holds:
    return lambda row: row.get(name) is not None


def _compared(name: str, operator: str, bound: Bound) -> Holds:
    """A missing value is another rule's business, here as in the gate."""
    compare: dict[str, Callable[[Any], bool]] = {
        ">": lambda value: value > bound,
        ">=": lambda value: value >= bound,
        "<": lambda value: value < bound,
        "<=": lambda value: value <= bound,
    }
    holds = compare[operator]
    return lambda row: row.get(name) is None or holds(row[name])


def _is_one_of(name: str, values: tuple[Any, ...]) -> Holds:
    return lambda row: row.get(name) is None or row[name] in values


def _ordered(smaller: str, greater: str, strict: bool) -> Holds:
    def holds(row: Mapping[str, Any]) -> bool:
        low, high = row.get(smaller), row.get(greater)
        return low is None or high is None or low < high or (low == high and not strict)

    return holds


def _equal(first: str, second: str) -> Holds:
    def holds(row: Mapping[str, Any]) -> bool:
        one, other = row.get(first), row.get(second)
        return one is None or other is None or bool(one == other)

    return holds
