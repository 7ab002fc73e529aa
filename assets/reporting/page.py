"""The report as one HTML file, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.reporting.content import ReportContent
from assets.reporting.plot import equity_plot

TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True)
class Explanation:
    """The last fill in plain words, and whether every link of its chain verified."""

    fill_id: str
    text: str
    verified: bool


def render(content: ReportContent, explanation: Explanation | None, *, models: list[dict[str, Any]]) -> str:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(money=_money, quantity=_quantity, percent=_percent, day=_day)
    template = environment.from_string(TEMPLATE.read_text())
    plot = equity_plot(content.curves, content.baseline)
    return template.render(content=content, explanation=explanation, models=models, plot=plot)


def write_page(page: str, path: Path) -> Path:
    """Write `page` to `path` by way of a temporary file beside it, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as part:
        part.write(page)
    os.replace(part.name, path)
    path.chmod(0o644)
    return path


def _quantity(value: Any) -> str:
    """Return 25, or 0.20571 where it is dealt in parts."""
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def _money(value: Any) -> str:
    return "-" if value is None else f"{float(value):,.2f}"


def _percent(value: Any) -> str:
    return "-" if value is None else f"{float(value):+.2%}"


def _day(value: Any) -> str:
    return f"{value:%Y-%m-%d}"
