"""The equity plot: as SVG text for the report's page, as a picture for asset metadata."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assets.reporting.content import EquityCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")


def equity_plot(curves: Sequence[EquityCurve], baseline: EquityCurve | None) -> str:
    """Return an SVG with one line per session and the baseline dashed; money in thousands of USD."""
    drawn = io.StringIO()
    _figure(curves, baseline).savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def equity_chart(curves: Sequence[EquityCurve], baseline: EquityCurve | None) -> str:
    """Return the same plot as Markdown with the picture inside: what asset metadata can show."""
    drawn = io.BytesIO()
    _figure(curves, baseline).savefig(drawn, format="png", dpi=70, metadata={"Software": None})
    return f"![equity of the sessions](data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()})"


def _figure(curves: Sequence[EquityCurve], baseline: EquityCurve | None) -> Figure:
    from matplotlib.figure import Figure  # heavy, and only a report needs it

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    for colour, curve in zip(COLOURS, curves, strict=False):
        axes.plot(list(curve.timestamps), _thousands(curve), color=colour, linewidth=1.6, label=curve.label)
    if baseline is not None:
        days, equity = list(baseline.timestamps), _thousands(baseline)
        axes.plot(days, equity, color="#6b7280", linestyle="--", linewidth=1.2, label=baseline.label)
    axes.set_ylabel("equity, thousand USD")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(frameon=False)
    return figure


def _thousands(curve: EquityCurve) -> list[float]:
    return [value / 1000 for value in curve.equity_usd]
