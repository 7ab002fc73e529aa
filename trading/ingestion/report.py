"""What became of a batch, for people, for the command line and for asset metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trading.ingestion.reader import Kind, Mode

_SHOWN = 5
Status = Literal["published", "refused", "already ingested"]


@dataclass(frozen=True)
class BatchReport:
    """The outcome of one batch; rows_in = published + unchanged + merged + quarantined, unless it was refused.

    Attributes:
        rows_unchanged: Rows that say what was already known.
        rows_merged: Rows folded into another: equal duplicates, news rows that differ only in their symbols.
        quarantine: Rule -> rows that broke it (a row may break several).
        checks: Each expectation: rule, columns, rows judged, rows that broke it.
        drafts: Symbols that were not known and got a draft instrument with the calendar named.
        calendars_kept: Symbols whose instrument trades on another calendar than the delivery states (or assumes): theirs counts.
        parts: Name -> what it is of symbols split at a long gap, such as QQQ.2 -> QQQ from 2011-03-23.
        first_date, last_date: The range of the good rows (ISO dates), None where there is none.
    """

    source: str
    kind: Kind
    mode: Mode
    status: Status
    batch_ids: tuple[int, ...]
    watermark: int
    received_at: str
    payload_key: str
    payload_sha256: str
    payload_name: str
    partition: str | None
    rows_in: int
    rows_published: int
    rows_unchanged: int
    rows_merged: int
    rows_quarantined: int
    first_date: str | None = None
    last_date: str | None = None
    symbols: tuple[str, ...] = ()
    quarantine: dict[str, int] = field(default_factory=dict)
    checks: tuple[dict[str, Any], ...] = ()
    drafts: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    calendars_kept: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the report as one line for people."""
        batch = ", ".join(str(batch_id) for batch_id in self.batch_ids)
        if self.status == "already ingested":
            return f"{self.kind} of {self.source}: already ingested as batch {batch}; nothing was added"
        broken = ", ".join(f"{rule} {count}" for rule, count in sorted(self.quarantine.items()))
        return (
            f"{self.kind} of {self.source}: batch {batch}, {self.rows_in} rows in, {self.rows_published} published, "
            f"{self.rows_unchanged} unchanged, {self.rows_merged} merged, {self.rows_quarantined} quarantined"
            + (f" ({broken})" if broken else "")
            + self._drafts()
            + "".join(f"; {what} is published as {name}" for name, what in sorted(self.parts.items()))
        )

    def calendar_warning(self, stated: str) -> str:
        """Return one line on the symbols for which the calendar that was stated does not count; empty if there is none."""
        if not self.calendars_kept:
            return ""
        return (
            f"warning: --calendar {stated} is for symbols that are not known yet; {shown_calendars(self.calendars_kept)} keep the "
            "calendar of their instrument, and bars outside its sessions break unknown_session; deliver them under "
            "another symbol to have them in that calendar"
        )

    def _drafts(self) -> str:
        return f"; draft instruments: {shown_calendars(self.drafts)}" if self.drafts else ""


def shown_calendars(calendars: dict[str, str]) -> str:
    """Return symbols with their calendars in a few words: the first ones, and how many more."""
    shown = [f"{symbol} ({calendar})" for symbol, calendar in sorted(calendars.items())[:_SHOWN]]
    more = len(calendars) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
