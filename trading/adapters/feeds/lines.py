"""Messages as they came: a frame cut into its messages without changing a character, and stored lines read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from trading.errors import UnreadablePayloadError

_DECODER = json.JSONDecoder(parse_float=Decimal)
_BETWEEN = " \t\r\n,"


def parts_of_list(frame: str) -> list[tuple[Any, str]]:
    """Return the elements of a JSON list, each with its own words; of an object that stands alone, itself.

    Raises:
        UnreadablePayloadError: it is no whole JSON.
    """
    text = frame.strip()
    if not text.startswith("["):
        return [(_whole(text), _one_line(text))]
    found, at, end = [], 1, len(text) - 1
    try:
        while True:
            while at < end and text[at] in _BETWEEN:
                at += 1
            if at >= end:
                break
            value, after = _DECODER.raw_decode(text, at)
            found.append((value, _one_line(text[at:after])))
            at = after
    except ValueError as error:
        raise _unreadable(frame) from error
    if not text.endswith("]"):
        raise _unreadable(frame)
    return found


def values_of_lines(payload: bytes) -> Iterator[Any]:
    """Yield the messages of a stored payload, decimals exact."""
    for line in payload.decode().split("\n"):  # a text of JSON may hold other characters that splitlines() splits at
        if line:
            yield _whole(line)


def payload_of_lines(lines: list[str]) -> bytes:
    """Return messages as a payload: one per line."""
    return ("\n".join(lines) + "\n").encode()


def _whole(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(text) from error


def _one_line(text: str) -> str:
    """A line break inside JSON stands between its words only; a text writes it as an escape."""
    return text.replace("\r", " ").replace("\n", " ")


def _unreadable(frame: str) -> UnreadablePayloadError:
    return UnreadablePayloadError(f"expected whole JSON in a frame, found {len(frame)} characters that are none")
