"""Judge one declared definition over one world: recompute without the future and with another one, and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from trading.errors import InputError
from trading.leaks.asking import Early, ask, ask_early, other_world
from trading.leaks.causes import PARTS, kind_of
from trading.leaks.comparing import Changes, changed, differing, value_at, values
from trading.leaks.deciding import FUTURES, PRICE, bars_later, cuts, decisions
from trading.leaks.declaring import Declared
from trading.leaks.findings import ROW_COLUMN, Finding, Report
from trading.leaks.splitting import judge_split
from trading.leaks.world import ROW, World

SEED = 7


def judge(
    declared: Declared, world: World, seed: int = SEED, *, full: bool = False, early: Early | None = None
) -> Report:
    """Return what leaks of a definition, one finding per column with its first row; `full` cuts at every decision.

    Args:
        early: Its answers of before any whole world was asked, where several definitions share a module.

    Raises:
        InputError: it fails on the whole world, gives no rows with symbol and timestamp, no values, or none that can be judged.
    """
    early = early or ask_early([declared], [world])[0][0]
    return _Case.of(declared, world, seed, early).report(full=full)


@dataclass
class _Case:
    """One definition, its inputs, and its answer with the whole future."""

    declared: Declared
    world: World
    seed: int
    early: Early
    full: DataFrame
    decided: dict[str, Series[Any]]

    @classmethod
    def of(cls, declared: Declared, world: World, seed: int, early: Early) -> _Case:
        try:
            made = ask(declared, world, early.fitted_until)
        except InputError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"expected {declared.name} to answer on the gate's world, found {reason}") from error
        if not len(made):
            raise InputError(f"expected rows of {declared.name} that can be judged, found 0 rows")
        if not values(made):
            found = ", ".join([*ROW, *made.columns])
            raise InputError(f"expected at least one column of values of {declared.name}, found {found} only")
        case = cls(declared, world, seed, early, made, {})
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
        decided = self.decided[ROW_COLUMN]
        moments = cuts(self.world, self.full, decided, self.declared.inputs, full=full)
        asked = {moment for moment, _ in moments}
        moments += [(at, FUTURES[:1]) for at in self.early.answers if at not in asked and at >= decided.min()]
        judged = int((self.decided[ROW_COLUMN] <= max(moments)[0]).sum()) if moments else 0
        if not judged:
            raise InputError(f"expected rows of {self.declared.name} that can be judged, found {len(self.full)} rows")
        first: dict[str, Finding] = {}
        self._keep(first, self._repeated())
        remembered = [] if first else self._remembered()
        for moment, futures in moments:
            if futures != FUTURES and first.keys() >= set(values(self.full)):
                break
            for future in futures:
                self._keep(first, self._judged_at(moment, future, first))
        # What a definition remembers explains whatever else was found in the column.
        first |= {one.column: replace(first.get(one.column, one), kind=one.kind) for one in remembered}
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
        again = ask(self.declared, self.world, self.early.fitted_until)
        end = self.decided[ROW_COLUMN].max()
        changes = self._changed(again, self.world, end)
        return [
            self._finding(column, rows, again, end, "scrambled", "not_repeatable", "nothing")
            for column, rows in changes.items()
        ]

    def _remembered(self) -> list[Finding]:
        """Ask an early question again, now that the whole was seen: another answer comes from what it kept."""
        for moment, before in self.early.answers.items():
            if isinstance(before, Exception) or before.empty:
                continue
            try:
                again = self._asked(moment, "truncated", None)
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything
                return [replace(self._failed(moment, "truncated", error), kind="keeps_state")]
            return [
                self._finding(column, rows, again, moment, "truncated", "keeps_state", "several", before)
                for column, rows in differing(before, again).items()
            ]
        return []

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
        world = other_world(self.world, future, moment, self.seed, parts)
        early = self.early.answers.get(moment) if future == "truncated" and parts is None else None
        if isinstance(early, Exception):
            raise early
        return (self._asked(moment, future, parts) if early is None else early), world

    def _asked(self, moment: datetime, future: str, parts: frozenset[str] | None) -> DataFrame:
        world = other_world(self.world, future, moment, self.seed, parts)
        return ask(self.declared, world, self.early.fitted_until)

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
        return decisions(self.declared, world, rows, self.early.fitted_until)

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
        self, column: str, rows: Any, other: DataFrame, moment: Any, future: str, kind: str, cause: str, was: Any = None
    ) -> Finding:
        symbol, timestamp = rows[0]
        before = value_at(self.full if was is None else was, rows[0], column)
        after = value_at(other, rows[0], column)
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


def _moment(value: Any) -> str:
    return "" if value is None or pd.isna(value) else value.isoformat()


def _is_before(place: Any, finding: Finding) -> bool:
    return bool((place[1], place[0]) < (pd.Timestamp(finding.timestamp), finding.symbol))
