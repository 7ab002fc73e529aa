"""Texts that a request may name things by: PostgreSQL's text holds every character but zero."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def without_zero(text: str) -> str:
    """Return `text`.

    Raises:
        ValueError: it holds the character zero.
    """
    if "\x00" in text:
        raise ValueError(f"expected no character zero, found one at place {text.index(chr(0)) + 1}")
    return text


Name = Annotated[str, Field(min_length=1), AfterValidator(without_zero)]
