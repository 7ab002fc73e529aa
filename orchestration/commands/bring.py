"""What `tradeloom demo --source VENDOR --from DAY` does first: the vendor's bars and corporate actions since that day."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from trading.errors import InputError

if TYPE_CHECKING:
    from orchestration.commands.fetch import Wanted
    from trading.ingestion.reader import Kind

KINDS: tuple[Kind, ...] = ("prices", "actions")
_DAY = timedelta(days=1)


def refuse_what_cannot_be_had(source: str, symbols: Sequence[str], first: date) -> None:
    """Refuse, before anything is started, what the vendor cannot be asked for or what is too little to learn from.

    Raises:
        InputError: no symbols; a credential is not in the environment; too few sessions since `first`.
    """
    from trading.adapters.sources.registry import vendor_named
    from trading.calendar import exchange_sessions
    from trading.windows import MINIMUM_SESSIONS

    if not symbols:
        raise InputError(f"expected --symbols beside --from, found none; say whose bars {source} is asked for")
    vendor = vendor_named(source)
    vendor.refuse_unless_offered("prices", "1d")
    with vendor.calls(os.environ):
        pass
    yesterday = datetime.now(UTC).date() - _DAY
    sessions = len(exchange_sessions(vendor.calendar, first, yesterday)) if first <= yesterday else 0
    if sessions < MINIMUM_SESSIONS:
        raise InputError(
            f"expected at least {MINIMUM_SESSIONS} sessions to train, judge and replay, found {sessions} since {first}; "
            "give an earlier --from"
        )


def bring_in(source: str, symbols: Sequence[str], first: date, tell: Callable[[str], None], *, quiet: bool) -> None:
    """Fetch what there is from `first` to yesterday, by the endpoints of the environment. What is known adds nothing.

    Raises:
        TradeloomError: as `orchestration.commands.fetch.fetched`; the same command again goes on.
    """
    from orchestration.commands.fetch import fetched
    from trading.adapters.sources.registry import vendor_named

    for kind in KINDS:
        if kind in vendor_named(source).kinds:
            tell(f"fetching {kind} from {source}")
            tell(fetched(_wanted(kind, source, symbols, first), quiet=quiet).sentence())


def _wanted(kind: Kind, source: str, symbols: Sequence[str], first: date) -> Wanted:
    from orchestration.commands.fetch import Wanted

    return Wanted(
        kind=kind,
        source=source,
        symbols=",".join(symbols),
        first=first,
        last=None,
        interval="1d",
        calendar=None,
        gap="refuse",
        mode="history",
        max_bad_share=None,
    )
