"""The pages themselves: docs/indicators.md, docs/indicators/<name>.md and their pictures."""

from __future__ import annotations

from pathlib import Path

import psycopg

from feature_store import registry
from feature_store.indicator_pages import words, words_extended
from feature_store.indicator_pages.plot import SYMBOL, Picture, curves
from feature_store.indicator_pages.subject import Subject
from feature_store.registry import Feature
from trading.errors import InputError

SUBJECTS = (*words.SUBJECTS, *words_extended.SUBJECTS)
BARS_THEMSELVES = ("open", "high", "low", "close", "volume")
_MADE = (
    "<!-- Made by `tradeloom features docs --indicators docs` from feature_store/indicator_pages: change it there. -->"
)


def made_files(conn: psycopg.Connection) -> dict[Path, str | Picture]:
    """Return every file by its path in docs/: what a page says, or the picture beside it.

    Raises:
        InputError: a view was never built, or the sample is not installed.
    """
    views = {one.name: one.definition for one in registry.views(conn)}
    asked = {subject.view for subject in SUBJECTS}
    if missing := sorted(asked - views.keys()):
        raise InputError(
            f"expected {', '.join(missing)} to have been built, found no definition; run `tradeloom features build`"
        )
    definitions = {view: views[view] for view in sorted(asked)}
    shown = curves(conn, definitions)
    features = {(one.view, one.name): one for name in definitions.values() for one in registry.features(conn, name)}
    made: dict[Path, str | Picture] = {Path("indicators.md"): _index(features)}
    for subject in SUBJECTS:
        made[Path("indicators") / f"{subject.name}.md"] = _page(subject, features)
        made[Path("indicators") / f"{subject.name}.svg"] = Picture(subject, shown)
    return made


def is_current(path: Path, expected: str | Picture) -> bool:
    """Return whether a file says what it should; a picture does if its numbers are these, whoever drew it."""
    if not path.exists():
        return False
    found = path.read_text()
    if isinstance(expected, Picture):
        return found.partition("\n")[0] == expected.first_line
    return found == expected


def _index(features: dict[tuple[str, str], Feature]) -> str:
    lines = [
        _MADE,
        "",
        "# Indicators",
        "",
        "One page per indicator: formula, what its first value begins with, who published it, and a plot. All of them are"
        " columns of two views in the warehouse, on the forward-adjusted series, null before their first value, made by"
        " `features.advance` in SQL and the same to the bit however the bars came in"
        " ([0076](decisions/0076-the-second-indicators-are-running-sums-and-restart-after-a-gap.md),"
        " [0113](decisions/0113-a-second-view-of-indicators.md)). Their SQL: [features](features.md).",
        "",
    ]
    for view in dict.fromkeys(subject.view for subject in SUBJECTS):
        lines += [f"## {view}", "", "| page | columns | first value at bar | compared with |", "|---|---|---|---|"]
        for subject in SUBJECTS:
            if subject.view == view:
                bars = ", ".join(str(features[view, name].warm_up_bars) for name in subject.columns)
                named = ", ".join(f"`{name}`" for name in subject.columns)
                lines.append(
                    f"| [{subject.title}](indicators/{subject.name}.md) | {named} | {bars} | {subject.judge} |"
                )
        lines.append("")
    return "\n".join([*lines, "Both views also have " + ", ".join(f"`{name}`" for name in BARS_THEMSELVES) + ".", ""])


def _page(subject: Subject, features: dict[tuple[str, str], Feature]) -> str:
    listed = [features[subject.view, name] for name in subject.columns]
    shown = ", ".join(subject.over_price + subject.below)
    lines = [
        _MADE,
        "",
        f"# {subject.title}",
        "",
        subject.says,
        "",
        f"![{shown} of {SYMBOL}]({subject.name}.svg)",
        "",
        f"Columns of `{subject.view}`:",
        "",
        "| column | unit | first value at bar | what it is |",
        "|---|---|---|---|",
        *(f"| `{one.name}` | {one.unit} | {one.warm_up_bars} | {one.description} |" for one in listed),
        "",
        "## Formula",
        "",
        "```text",
        *subject.formula,
        "```",
        "",
        "Of the bar itself unless an index says otherwise: `C[-1]` is the close one bar before. A gap longer than the"
        " definition's `max_gap` begins the series anew.",
        "",
        "## Parameters",
        "",
        *([f"- {name}: {value}" for name, value in subject.parameters.items()] or ["None."]),
        "",
        "Another length is another definition: see [adding a feature](../adding-a-feature.md).",
        "",
        "## Seed",
        "",
        subject.seed,
        "",
        "## Source",
        "",
        subject.source,
        "",
        f"Compared in the tests with {subject.judge}, from the first value on.",
        "",
    ]
    return "\n".join(lines)
