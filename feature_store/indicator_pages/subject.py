"""What a page of an indicator is made from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Subject:
    """One indicator, or a few that are explained together.

    Attributes:
        name: The page's file, without `.md`.
        view: The view whose columns it explains.
        columns: Which ones, in the order of the table.
        says: What it tells a reader, in a sentence or two.
        formula: Equations, one per line. H, L, C, V and T are high, low, close, volume and typical price of a bar.
        seed: What the first value begins with, and what the columns are before it.
        source: Who published it, where and when.
        judge: What tests compare it with.
        parameters: What the definition fixes.
        over_price, below: Columns drawn on the close, and in a panel of their own.
        levels: Horizontal lines of that panel.
    """

    name: str
    title: str
    view: str
    columns: tuple[str, ...]
    says: str
    formula: tuple[str, ...]
    seed: str
    source: str
    judge: str
    parameters: dict[str, str] = field(default_factory=dict)
    over_price: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
