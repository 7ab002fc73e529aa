"""The exchange calendars in use: those that vendors declare and, where the warehouse answers, those of its instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping

_PATIENCE_SECONDS = 2


def calendars_in_use(environ: Mapping[str, str]) -> list[str]:
    """Return their names in order; asked once, when the code location is loaded.

    A warehouse that does not answer leaves the declared ones, and a word in the log: an exchange that only instruments
    name is there again with the next load.
    """
    from trading.adapters.sources.registry import VENDORS, vendor_named

    declared = {vendor.calendar for vendor in map(vendor_named, VENDORS) if "prices" in vendor.kinds}
    url = environ.get("TRADELOOM_POSTGRES_URL")
    return sorted(declared | set(_of_instruments(url) if url else []))


def _of_instruments(url: str) -> list[str]:
    import psycopg

    from trading.adapters.followed import instrument_calendars

    try:
        with psycopg.connect(url, connect_timeout=_PATIENCE_SECONDS, application_name="tradeloom-calendars") as conn:
            return instrument_calendars(conn)
    except psycopg.Error as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logging.getLogger(__name__).warning("calendars of instruments are not known: %s", reason)
        return []
