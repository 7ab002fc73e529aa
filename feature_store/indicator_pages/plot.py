"""The curves of the pages: the definitions' own SQL on the sample's last bars of AAPL, and the pictures of them.

Nothing is stored: the bars are put where features.advance would put them, in a transaction that is rolled back. There
is no split among them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg

from feature_store.indicator_pages.subject import Subject
from trading.adapters.sources.sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYMBOL, FIRST, SHOWN = "AAPL", date(2012, 3, 1), 120
_COLOURS = ("#2563eb", "#d97706", "#059669")
_PRICES = ("Open", "High", "Low", "Close", "Volume")

_PENDING = """
create temporary table plotted_bars on commit drop as
select
    'sample'::text as source, 'AAPL'::text as symbol, '1d'::text as interval,
    b.day::timestamp at time zone 'UTC' as timestamp, b.day::timestamptz as known_at, b.day::timestamptz as nominal_at,
    b.place as bar_id, ''::bytea as bar_hash, b.open, b.high, b.low, b.close, b.volume, 1::numeric as factor,
    null::double precision[] as seed, false as is_context
from unnest(%s::date[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])
    with ordinality as b (day, open, high, low, close, volume, place)
"""


@dataclass(frozen=True)
class Curves:
    """Columns of both views over the same days; None before a column's first value."""

    days: list[date]
    values: dict[tuple[str, str], list[float | None]]

    def of(self, subject: Subject) -> dict[str, list[float | None]]:
        """Return what a subject's plot shows, the close first."""
        names = dict.fromkeys(("close", *subject.over_price, *subject.below))
        return {name: self.values[subject.view, name][-SHOWN:] for name in names}

    def digest(self, subject: Subject) -> str:
        """Return the sha256 of the numbers that a subject's plot shows, to nine digits: the picture is current by it."""
        told = [
            f"{name} {value if value is None else format(value, '.9g')}"
            for name, of in self.of(subject).items()
            for value in of
        ]
        return hashlib.sha256("\n".join([*map(str, self.days[-SHOWN:]), *told]).encode()).hexdigest()


def curves(conn: psycopg.Connection, definitions: Mapping[str, str]) -> Curves:
    """Return every column of definitions (view -> definition) on the sample's bars.

    Raises:
        InputError: the sample is not installed.
    """
    rows = _bars()
    days = [date.fromisoformat(row["Date"]) for row in rows]
    values: dict[tuple[str, str], list[float | None]] = {}
    with conn.transaction(force_rollback=True):
        conn.execute("set local timezone = 'UTC'")
        conn.execute(_PENDING, [days, *([row[name] for row in rows] for name in _PRICES)])
        for view, definition in definitions.items():
            cursor = conn.execute(_computed(conn, definition))
            names = [column.name for column in cursor.description or ()]
            columns = zip(*cursor.fetchall(), strict=True)
            values |= {(view, name): list(column) for name, column in zip(names, columns, strict=True)}
    return Curves(days, values)


def _bars() -> list[dict[str, str]]:
    text = gzip.decompress(Sample().deliver("prices", None).payload).decode()
    return [row for row in csv.DictReader(io.StringIO(text)) if row["Ticker"] == SYMBOL and row["Date"] >= str(FIRST)]


def _computed(conn: psycopg.Connection, definition: str) -> bytes:
    asked = "select features.indicator_sql(%s, 'select * from pg_temp.plotted_bars')"
    row = conn.execute(asked, (definition,)).fetchone()
    assert row is not None, "a function without rows answers with one"
    return f"select * from ({row[0]}) as made order by made.timestamp".encode()


@dataclass(frozen=True)
class Picture:
    """The plot of a subject: its first line says which numbers it shows, so that nobody need draw it to know."""

    subject: Subject
    shown: Curves

    @property
    def first_line(self) -> str:
        """The digest of the numbers, as a comment."""
        return f"<!-- numbers {self.shown.digest(self.subject)} -->"

    def drawn(self) -> str:
        """Return the picture as SVG."""
        import matplotlib

        paper = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": self.subject.name, "svg.fonttype": "none"}):
            _figure(self.subject, self.shown).savefig(paper, format="svg", metadata={"Date": None, "Creator": None})
        text = paper.getvalue()
        lines = [line.rstrip() for line in text[text.index("<svg") :].splitlines()]
        return "\n".join([self.first_line, *lines]) + "\n"


def _figure(subject: Subject, shown: Curves) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure  # heavy, and only the pages need it

    figure = Figure(figsize=(8, 4.4 if subject.below else 3.0), layout="constrained")
    days, of = np.array(shown.days[-SHOWN:], dtype="datetime64[D]"), shown.of(subject)
    if subject.below:
        price, panel = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _lines(panel, days, {name: of[name] for name in subject.below})
        for level in subject.levels:
            panel.axhline(level, color="#9ca3af", linewidth=0.8, linestyle="--")
    else:
        price = figure.subplots()
    price.plot(days, np.array(of["close"], dtype=float), color="#111827", linewidth=1.0, label=f"{SYMBOL} close")
    _lines(price, days, {name: of[name] for name in subject.over_price}, dots="sar" in subject.name)
    return figure


def _lines(axes: Axes, days: Any, named: dict[str, list[float | None]], *, dots: bool = False) -> None:
    import numpy as np

    for colour, (name, values) in zip(_COLOURS, named.items(), strict=False):
        line, marker = ("none", ".") if dots else ("-", "")
        numbers = np.array(values, dtype=float)  # None is no number
        axes.plot(days, numbers, color=colour, label=name, linewidth=1.2, linestyle=line, marker=marker, markersize=3)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)
