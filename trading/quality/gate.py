"""The verdict on a batch: which rows are good, which break which rule, and what each check found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trading.contracts.load import contracts
from trading.errors import QualityError
from trading.ingestion.candidates import Candidate, Defect
from trading.ingestion.gaps import RULE as GAP_RULE
from trading.ingestion.gaps import Gap, Part, refused_by
from trading.ingestion.reader import Kind, Mode
from trading.quality.suites import RULES, expectations, great_expectations


@dataclass(frozen=True)
class Facts:
    """What the warehouse knows that a rule needs.

    Attributes:
        received_at: When the batch was received; nothing in it may be from later.
        series_adjustments: The adjustment of each symbol that the source has bars of.
        first_live_at: When the source's first live batch of this kind was received; None where there is none.
        gaps: Long gaps in the delivered series that nobody has explained yet.
        parts: The parts into which symbols of the source were split before.
        lag: Of a page of a vendor: how long after its end a bar may be had from it at all. Zero of everything else.
    """

    received_at: datetime
    mode: Mode
    series_adjustments: Mapping[str, str] = field(default_factory=dict)
    first_live_at: datetime | None = None
    gaps: tuple[Gap, ...] = ()
    parts: tuple[Part, ...] = ()
    lag: timedelta = timedelta(0)


@dataclass(frozen=True)
class Check:
    """One expectation and what it found; an asset check shows it."""

    rule: str
    columns: str
    rows: int
    broken: int

    @property
    def passed(self) -> bool:
        """Whether no row broke it."""
        return self.broken == 0


@dataclass(frozen=True)
class Verdict:
    """The good rows in their order, the rows that broke a rule (one defect per rule), and every check."""

    good: list[Candidate]
    defects: list[Defect]
    checks: list[Check]


def judge(kind: Kind, candidates: list[Candidate], facts: Facts) -> Verdict:
    """Return the verdict on the candidates of one batch, duplicates already folded.

    Bars on the refused side of a gap are not judged further: whose they are decides which rules they keep.
    """
    defects = refused_by(facts.gaps, candidates, facts.parts)
    refused = {defect.number for defect in defects}
    verdict = _judged(kind, [one for one in candidates if one.number not in refused], facts)
    if kind != "prices" or not candidates:
        return verdict
    check = Check(GAP_RULE, "symbol, timestamp", len(candidates), len(defects))
    return Verdict(verdict.good, [*defects, *verdict.defects], [check, *verdict.checks])


def _judged(kind: Kind, candidates: list[Candidate], facts: Facts) -> Verdict:
    if not candidates:
        return Verdict([], [], [])
    broken, checks = broken_rules(kind, staging_frame(kind, candidates, facts), len(candidates))
    defects = {
        (candidates[at].number, rule): candidates[at].defect(rule, detail)
        for at in sorted(broken)
        for rule, detail in broken[at].items()
    }
    # A row of a file is good or not as a whole: one that holds two actions is not published by half.
    refused = {number for number, _ in defects}
    good = [candidate for candidate in candidates if candidate.number not in refused]
    return Verdict(good, list(defects.values()), checks)


def broken_rules(kind: Kind, frame: Any, rows: int) -> tuple[dict[int, dict[str, str]], list[Check]]:
    """Judge a staged frame: return its rows that break something (place -> rule -> what was expected), and every check.

    The frame is empty afterwards: Great Expectations keeps it in cycles of its own, and of a delivery judged in many
    frames each would stay in memory until the collector comes.

    Raises:
        QualityError: a rule could not be judged.
    """
    broken: dict[int, dict[str, str]] = defaultdict(dict)
    checks = []
    for result in _validated(kind, frame):
        rule, columns = result.expectation_config.meta["rule"], _columns(result.expectation_config.kwargs)
        places = result.result["unexpected_index_list"]
        checks.append(Check(rule, columns, rows, len(places)))
        for place in places:
            broken[place].setdefault(rule, f"{columns}: expected that {RULES[rule]}")
    for name in list(frame.columns):
        del frame[name]
    return broken, sorted(checks, key=lambda check: (check.rule, check.columns))


def _validated(kind: Kind, staged_rows: Any) -> list[Any]:
    """Run the suite. Great Expectations never raises, and reports its own mistakes as results: those raise here."""
    gx = great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    frame = context.data_sources.add_pandas("staging").add_dataframe_asset(kind)
    suite = context.suites.add(gx.ExpectationSuite(name=kind, expectations=expectations(kind)))
    definition = gx.ValidationDefinition(
        name=kind, data=frame.add_batch_definition_whole_dataframe("batch"), suite=suite
    )
    results = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": staged_rows},
        result_format={"result_format": "COMPLETE"},
    )
    for result in results.results:
        if result.exception_info.get("raised_exception") or "unexpected_index_list" not in result.result:
            raise QualityError(f"expected a verdict of {result.expectation_config.type}, found {result.exception_info}")
    return list(results.results)


def staging_frame(kind: Kind, candidates: list[Candidate], facts: Facts) -> Any:
    """Return the candidates as a pandas frame, one row each, with the facts that rules compare them to."""
    import pandas as pd

    return staged(kind, pd.DataFrame([candidate.values for candidate in candidates]), facts)


def staged(kind: Kind, frame: Any, facts: Facts) -> Any:
    """Return a pandas frame of rows as the gate wants it: with the facts that rules compare them to, typed."""
    import pandas as pd

    frame["received_at"] = facts.received_at - facts.lag
    frame["first_live_at"] = facts.first_live_at if facts.mode == "history" else None
    if kind == "prices":
        frame["series_adjustment"] = frame["symbol"].map(dict(facts.series_adjustments)).astype(object)
    if kind == "news":
        frame["symbol_count"] = frame["symbols"].map(len)
    numbers, moments = _typed(kind, frame)
    for name in numbers:
        frame[name] = frame[name].astype("float64")
    for name in moments:
        # All in UTC and then without a zone: Great Expectations reads `.values`, which pandas 3.1 warns of with one.
        frame[name] = pd.to_datetime(frame[name], utc=True).dt.tz_localize(None).astype("datetime64[us]")
    if kind == "prices":
        # A bar that is not over yet breaks one rule, not two: sessions to come are not recorded.
        frame.loc[frame["ends_at"] > frame["received_at"], "is_in_session"] = True
    return frame


def _typed(kind: Kind, frame: Any) -> tuple[list[str], list[str]]:
    """Return the frame's columns that hold numbers, and those that hold moments, by the types of the contract."""
    contract = contracts()[kind]
    types = {column.name: column.type for column in contract.columns} | {
        fact.name: fact.type for fact in contract.facts
    }
    held = [(name, kept) for name, kept in types.items() if name in frame]
    numbers = [name for name, kept in held if kept.startswith("numeric")]
    return numbers, [name for name, kept in held if kept == "timestamptz"]


def _columns(arguments: Mapping[str, Any]) -> str:
    if "column_list" in arguments:
        return ", ".join(arguments["column_list"])
    return ", ".join(str(arguments[name]) for name in ("column", "column_A", "column_B") if name in arguments)
