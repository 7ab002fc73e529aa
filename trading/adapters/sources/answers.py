"""One answer of a vendor, and what its status and headers mean for whoever asked. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from trading.errors import UnreadablePayloadError

_NOT_MODIFIED, _TOO_MANY = 304, 429
_BEGINNING = 200  # characters of a refusal that are shown


class ConnectionCut(Exception):
    """No whole answer came: the connection was cut or refused, or the answer was too slow. Tried again, never shown."""


@dataclass(frozen=True)
class Answer:
    """The status, the headers (names in lower case) and the body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the vendor did what was asked; 304 says that nothing changed, where that was asked."""
        return 200 <= self.status < 300 or self.status == _NOT_MODIFIED

    def value(self) -> Any:
        """Return the body as JSON.

        Raises:
            UnreadablePayloadError: it is none, or only its beginning.
        """
        return json_of(self.body)

    def beginning(self, hidden: Iterable[str] = ()) -> str:
        """Return the first words of the body, on one line, with `***` where it says what is hidden.

        Hidden first and cut then: a secret that the cut goes through would be told as far as it goes.
        """
        text = " ".join(self.body.decode("utf-8", "replace").split())
        for secret in hidden:
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
                text = text.replace(form, "***")
        return text[:_BEGINNING]


def json_of(body: bytes) -> Any:
    """Return JSON with its decimals exact (`Decimal`).

    Raises:
        UnreadablePayloadError: it is none, or only its beginning.
    """
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise UnreadablePayloadError(
            f"expected whole JSON, found {len(body)} bytes that are none; ask again"
        ) from error


@contextmanager
def form_of(vendor: str) -> Iterator[None]:
    """Read an answer of the form that the vendor documents; any other form is one clear error, not one of Python's.

    Raises:
        UnreadablePayloadError: what was read has not the form that the block takes it to have.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadablePayloadError(
            f"expected an answer of {vendor} in its documented form, found another ({type(error).__name__}: {error}); "
            "its format has changed"
        ) from error


def said_at(answer: Answer) -> datetime | None:
    """Return when the vendor gave the answer, by its own clock in whole seconds (RFC 9110, 6.6.1), or None."""
    try:
        moment = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def may_help(status: int) -> bool:
    """Tell whether asking again can help: too many requests, or a failure of the vendor's own."""
    return status == _TOO_MANY or status >= 500


def retry_after(answer: Answer, now: datetime) -> float | None:
    """Return the seconds that the vendor asks us to wait (RFC 9110, 10.2.3: seconds or a date), or None."""
    text = answer.headers.get("retry-after", "").strip()
    if not text or not may_help(answer.status):
        return None
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None  # no date either: our own wait must do
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
