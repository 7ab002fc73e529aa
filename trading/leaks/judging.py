"""Judge one declared definition over one world: recompute without the future and with another one, and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from trading.errors import InputError
from trading.leaks.causes import PARTS, kind_of
from trading.leaks.comparing import Changes, as_rows, changed, values
from trading.leaks.deciding import FUTURES, PRICE, bars_later, cuts, decisions, training_end
from trading.leaks.declaring import Declared
from trading.leaks.findings import ROW_COLUMN, Finding, Report
from trading.leaks.splitting import judge_split
from trading.leaks.world import ROW, World

SEED = 7


def judge(declared: Declared, world: World, seed: int = SEED, *, full: bool = False) -> Report:
    """Return what leaks of a definition, one finding per column with its first row; `full` cuts at every decision.

    Raises:
        InputError: it fails on the whole world, gives no rows with symbol and timestamp, or none that can be judged.
    """
    return _Case.of(declared, world, seed).report(full=full)


@dataclass
class _Case:
    """One definition, its inputs, and its answer with the whole future."""

    declared: Declared
    world: World
    seed: int
    fitted_until: datetime | None
    full: DataFrame
    decided: dict[str, Series[Any]]

    @classmethod
    def of(cls, declared: Declared, world: World, seed: int) -> _Case:
        until = training_end(world) if declared.kind == "normalisation" else None
        try:
            made = as_rows(declared.name, _call(declared, world, until))
        except InputError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"expected {declared.name} to answer on the gate's world, found {reason}") from error
        if not len(made):
            raise InputError(f"expected rows of {declared.name} that can be judged, found 0 rows")
        case = cls(declared, world, seed, until, made, {})
        case.decided = {ROW_COLUMN: case.decisions_of(case.full, world)}
        if declared.kind == "strategy":
            if PRICE not in case.full:
                raise InputError(f"expected strategy {declared.name} to give a column price, found {values(case.full)}")
            case.decided[PRICE] = bars_later(world, case.full, declared.horizon)
        return case

    def report(self, *, full: bool) -> Report:
        """Judge it, until every column is known to leak or every cut is made."""
        if self.declared.kind == "split":
            findings = judge_split(
                self.declared,
                self.full,
                bars_later(self.world, self.full, self.declared.horizon),
                self.decided[ROW_COLUMN],
            )
            return self._report(len(self.full), 1, findings)
        moments = cuts(self.world, self.decided[ROW_COLUMN], self.declared.inputs, full=full)
        judged = int((self.decided[ROW_COLUMN] <= max(moments)[0]).sum()) if moments else 0
        if not judged:
            raise InputError(f"expected rows of {self.declared.name} that can be judged, found {len(self.full)} rows")
        first: dict[str, Finding] = {}
        self._keep(first, self._repeated())
        for moment, futures in moments:
            if futures != FUTURES and first.keys() >= set(values(self.full)):
                break
            for future in futures:
                self._keep(first, self._judged_at(moment, future, first))
        return self._report(judged, len(moments), list(first.values()))

    def _report(self, rows: int, moments: int, findings: list[Finding]) -> Report:
        columns = tuple(values(self.full))
        return Report(self.declared.name, self.declared.kind, columns, rows, moments, tuple(findings))

    @staticmethod
    def _keep(first: dict[str, Finding], found: list[Finding]) -> None:
        """Keep of each column the finding with the earliest row."""
        for one in found:
            known = first.get(one.column)
            if known is None or (one.timestamp, one.symbol) < (known.timestamp, known.symbol):
                first[one.column] = one

    def _repeated(self) -> list[Finding]:
        """Ask the same again: what is not repeatable cannot be judged, and is a finding of its own."""
        again = as_rows(self.declared.name, _call(self.declared, self.world, self.fitted_until))
        end = self.decided[ROW_COLUMN].max()
        changes = self._changed(again, self.world, end)
        return [
            self._finding(column, rows, again, end, "scrambled", "not_repeatable", "nothing")
            for column, rows in changes.items()
        ]

    def _judged_at(self, moment: datetime, future: str, known: dict[str, Finding]) -> list[Finding]:
        try:
            other, world = self._other(moment, future, None)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            return [self._failed(moment, future, error)]
        changes = self._changed(other, world, moment)
        for column in changes.keys() & known.keys():
            known[column] = self._seen_again(known[column], len(changes[column]), moment)
        fresh = {
            column: rows
            for column, rows in changes.items()
            if column not in known or _is_before(rows[0], known[column])
        }
        found = [self._explained(column, rows, other, moment, future) for column, rows in fresh.items()]
        if self.declared.kind == "strategy" and future == "truncated":
            found += self._filled_too_soon(other, world, moment)
        return found

    def _other(self, moment: datetime, future: str, parts: frozenset[str] | None) -> tuple[DataFrame, World]:
        world = _other_world(self.world, future, moment, self.seed, parts)
        return as_rows(self.declared.name, _call(self.declared, world, self.fitted_until)), world

    def _changed(self, other: DataFrame, world: World, moment: Any) -> Changes:
        extra = other.index.difference(self.full.index)
        decided_extra = self.decisions_of(other.loc[extra], world) if len(extra) else self.decided[ROW_COLUMN].iloc[:0]
        return changed(self.full, other, self.decided, decided_extra, moment)

    def _seen_again(self, finding: Finding, changed_rows: int, moment: datetime) -> Finding:
        """Judge the kind by the later cut: with few rows before a cut, few changed rows are a large share of them."""
        kind = finding.kind
        if kind in ("whole_column", "looks_ahead"):
            kind = kind_of(self.declared.kind, finding.cause, changed_rows / self._past(moment))
        return replace(finding, kind=kind, changed_rows=max(changed_rows, finding.changed_rows))

    def _past(self, moment: datetime) -> int:
        return max(1, int((self.decided[ROW_COLUMN] <= moment).sum()))

    def decisions_of(self, rows: DataFrame, world: World) -> Series[Any]:
        """Return when each row is decided on, as seen in `world`."""
        return decisions(self.declared, world, rows, self.fitted_until)

    def _explained(self, column: str, rows: Any, other: DataFrame, moment: datetime, future: str) -> Finding:
        cause = self._cause(column, rows[0], moment, future)
        share = len(rows) / self._past(moment)
        return self._finding(column, rows, other, moment, future, kind_of(self.declared.kind, cause, share), cause)

    def _cause(self, column: str, row: Any, moment: datetime, future: str) -> str:
        """Return the one part of the future that changes the row when it alone is taken; `several` if none does."""
        for part in PARTS:
            try:
                other, world = self._other(moment, future, frozenset({part}))
            except Exception:  # noqa: BLE001 - what fails without a part needs that part
                return part
            changes = self._changed(other, world, moment)
            if column in changes and row in changes[column]:
                return part
        return "several"

    def _finding(
        self, column: str, rows: Any, other: DataFrame, moment: Any, future: str, kind: str, cause: str
    ) -> Finding:
        symbol, timestamp = rows[0]
        before, after = _value(self.full, rows[0], column), _value(other, rows[0], column)
        both = isinstance(before, float) and isinstance(after, float)
        return Finding(
            column=column,
            symbol=str(symbol),
            timestamp=timestamp.isoformat(),
            decision_at=_moment(self.decided[ROW_COLUMN].get(rows[0])),
            moment=moment.isoformat(),
            future=future,
            before=before,
            after=after,
            difference=after - before if both else None,
            changed_rows=len(rows),
            kind=kind,
            cause=cause,
        )

    def _failed(self, moment: datetime, future: str, error: Exception) -> Finding:
        symbol, timestamp = self.full.index[0]
        said, decided = f"{type(error).__name__}: {error}", _moment(self.decided[ROW_COLUMN].iloc[0])
        return Finding(
            ROW_COLUMN, str(symbol), timestamp.isoformat(), decided, moment.isoformat(), future,
            "an answer", said, None, len(self.full), "fails_without_future", "several",
        )  # fmt: skip

    def _filled_too_soon(self, other: DataFrame, world: World, moment: datetime) -> list[Finding]:
        """Find fills with a price although the bar they fill at is not known yet."""
        waiting = ~(bars_later(world, other, self.declared.horizon) <= moment)
        early = other.index[(waiting & other[PRICE].notna()).to_numpy()]
        if not len(early):
            return []
        rows = pd.MultiIndex.from_tuples(sorted(early, key=lambda place: (place[1], place[0])), names=ROW)
        unfilled = other.assign(**{PRICE: np.nan})
        return [self._finding(PRICE, rows, unfilled, moment, "truncated", "same_bar_fill", "bars")]


@lru_cache(maxsize=32)
def _other_world(world: World, future: str, moment: datetime, seed: int, parts: frozenset[str] | None) -> World:
    """Return the world cut off; kept, because the definitions of one run are cut at the same moments."""
    return world.truncated(moment, parts) if future == "truncated" else world.scrambled(moment, seed, parts)


def _call(declared: Declared, world: World, fitted_until: datetime | None) -> Any:
    """Ask a definition; it may write into what it is handed."""
    given = World(**{name: frame.copy() for name, frame in world.frames().items() if name in declared.inputs})
    return declared.function(given, fitted_until) if declared.kind == "normalisation" else declared.function(given)


def _value(rows: DataFrame, place: Any, column: str) -> Any:
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


def _moment(value: Any) -> str:
    return "" if value is None or pd.isna(value) else value.isoformat()


def _is_before(place: Any, finding: Finding) -> bool:
    return bool((place[1], place[0]) < (pd.Timestamp(finding.timestamp), finding.symbol))
