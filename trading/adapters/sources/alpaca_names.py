"""Whose bars a ticker's are: Alpaca's name changes say from when on a ticker is another company's.

Asked for a ticker, Alpaca gives the bars of the company that has it on the day `asof`, under whatever ticker that
traded before, so one answer never mixes two. Two answers of different days may: they would be joined in one series.
So what lies after a company gave its ticker up is not asked for, and told (docs/decisions/0135).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from trading.adapters.sources.alpaca_client import asked
from trading.adapters.sources.alpaca_requests import NEW_YORK, last_moment
from trading.adapters.sources.answers import form_of
from trading.adapters.sources.calls import Calls
from trading.errors import MissingColumnError
from trading.ingestion.ports import Ask, Hole

# Bars that are further back than this are told apart by the gap of 250 sessions (trading/ingestion/gaps.py).
_BEFORE = timedelta(days=366)
_MOST_PAGES = 50


@dataclass(frozen=True, order=True)
class NameChange:
    """From `day` on a company's shares trade as `new`, no longer as `old`."""

    day: date
    old: str
    new: str


def name_changes(ask: Ask, symbols: Sequence[str], calls: Calls) -> list[NameChange]:
    """Return the changes to and from some symbols, from a year before an ask up to its last day, by day.

    Raises:
        MissingColumnError, UnreadablePayloadError: the answer has another form than it had.
    """
    last = last_moment(ask).astimezone(NEW_YORK).date()
    params = {"symbols": ",".join(symbols), "types": "name_change", "limit": 1000, "sort": "asc"}
    params |= {"start": f"{ask.start.date() - _BEFORE}", "end": f"{last}"}
    found: list[NameChange] = []
    token = ""
    for _ in range(_MOST_PAGES):
        body = asked(calls, "v1", "/corporate-actions", params | ({"page_token": token} if token else {})).value()
        with form_of("alpaca"):
            found += _changes(body)
            token = body.get("next_page_token") or ""
        if not token:
            break
    return sorted(set(found))


def _changes(body: dict[str, Any]) -> list[NameChange]:
    if "corporate_actions" not in body:
        raise MissingColumnError(
            f"expected corporate_actions in an answer of alpaca, found {', '.join(body)}; its format has changed"
        )
    said = (body["corporate_actions"] or {}).get("name_changes") or ()
    changes = [
        NameChange(date.fromisoformat(one["process_date"]), one["old_symbol"], one["new_symbol"]) for one in said
    ]
    return [
        change for change in changes if change.old != change.new
    ]  # where only the CUSIP changed, the ticker goes on


def of_one_company(ask: Ask, symbol: str, changes: Sequence[NameChange]) -> tuple[Ask | None, Hole | None]:
    """Return what is asked of a symbol so that its bars are one company's, and what is left out of the ask.

    Up to the day on which its company gave the ticker up; nothing where another company took it since, for then nobody
    knows which of the two is meant. With the gap `join` the user has said that: all of it.
    """
    left = [change for change in changes if change.old == symbol and not _came_back(change, changes)]
    if not left or ask.gap == "join":
        return ask, None
    until = datetime.combine(left[0].day, time(), NEW_YORK).astimezone(UTC)
    taken = next((change for change in changes if change.new == symbol and change.day >= left[0].day), None)
    if taken or until <= ask.start:
        return None, _hole(ask, symbol, ask.start, left[0], taken)
    return replace(ask, end=until), _hole(ask, symbol, until, left[0], taken)


def _came_back(change: NameChange, changes: Sequence[NameChange]) -> bool:
    return any((other.old, other.new) == (change.new, change.old) and other.day >= change.day for other in changes)


def _hole(ask: Ask, symbol: str, start: datetime, left: NameChange, taken: NameChange | None) -> Hole:
    what = f"bars {symbol} {ask.interval} {start.astimezone(NEW_YORK):%Y-%m-%d} to {last_moment(ask):%Y-%m-%d}"
    since = f"{left.old} became {left.new} on {left.day}"
    if taken:
        since += f", and {taken.old} became {taken.new} on {taken.day}"
    return Hole(
        what,
        f"{since}: two companies are not joined; ask for {left.new}, for {symbol} with --to {left.day - timedelta(days=1)}"
        ", or with --gap join for whoever has the ticker on the last day",
    )
