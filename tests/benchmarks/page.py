"""The page docs/benchmarks.md: one row per case, as it came out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from harness import CHECKOUT, Case, Outcome

OURS = ("numpy", "pandas", "polars", "pyarrow", "psycopg")
PEERS = ("adbc-driver-postgresql", "duckdb", "pandas", "pyarrow", "ta-lib")
FEAST = ("feast", "pandas", "psycopg")

HEAD = """\
# Benchmarks

Written by `make bench`; `make bench CASES=asof,online` runs some of the files in `tests/benchmarks`. Each row is ours
beside a peer, taking turns in one run on one machine, medians of at least five rounds. `ratio` is ours / peer; `goal`
is the greatest ratio wanted. `met`, `not met` and `not run` stand as they came out; `reported` has no goal.
"""


def page(outcomes: Sequence[tuple[Case, Outcome]]) -> str:
    """Return the page as Markdown."""
    rows = [_row(number, case, outcome) for number, (case, outcome) in enumerate(outcomes, 1)]
    notes = [f"{number}. {' '.join(outcome.notes)}" for number, (_, outcome) in enumerate(outcomes, 1) if outcome.notes]
    table = ["| # | case | size | ours | peer | | ratio | goal | |", "|---|---|---|---|---|---|---|---|---|", *rows]
    return "\n".join([HEAD, *table, "", "## Notes", "", *notes, "", "## Where", "", *_where(), ""])


def _row(number: int, case: Case, outcome: Outcome) -> str:
    goal = "" if case.goal is None else f"at most {case.goal:g}"
    ratio = "" if outcome.ratio is None else f"{outcome.ratio:.3g}"
    ours, peer = (_number(value, case.unit) for value in (outcome.ours, outcome.peer))
    cells = (str(number), case.name, case.size, ours, peer, case.against, ratio, goal, f"{outcome.verdict}")
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _where() -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
    return [
        f"- Machine: {machine}; Python {platform.python_version()}; the embedded PostgreSQL with its durable defaults.",
        f"- Ours: {_installed(OURS)}.",
        f"- Peers (`requirements-bench.lock`): {_locked('requirements-bench.lock', PEERS)}.",
        f"- Feast (`requirements-bench-feast.lock`): {_locked('requirements-bench-feast.lock', FEAST)}.",
    ]


def _installed(names: Sequence[str]) -> str:
    there = {found.name.lower() for found in metadata.distributions()}
    return ", ".join(f"{name} {metadata.version(name)}" for name in names if name in there)


def _locked(lock: str, names: Sequence[str]) -> str:
    lines = (CHECKOUT / Path(lock)).read_text().splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if line.partition("==")[0] in names)
