"""The equity plot of a report, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from assets.reporting.content import EquityCurve

COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")


def equity_plot(curves: Sequence[EquityCurve], baseline: EquityCurve | None) -> str:
    """Return an SVG with one line per session and the baseline dashed; money in thousands of USD."""
    from matplotlib.figure import Figure  # heavy, and only a report needs it

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    for colour, curve in zip(COLOURS, curves, strict=False):
        axes.plot(list(curve.timestamps), _thousands(curve), color=colour, linewidth=1.6, label=curve.label)
    if baseline is not None:
        axes.plot(
            list(baseline.timestamps),
            _thousands(baseline),
            color="#6b7280",
            linestyle="--",
            linewidth=1.2,
            label=baseline.label,
        )
    axes.set_ylabel("equity, thousand USD")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _thousands(curve: EquityCurve) -> list[float]:
    return [value / 1000 for value in curve.equity_usd]
