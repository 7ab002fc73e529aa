"""Which symbols a text names, where the vendor does not say: by the words that the user states for each symbol.

`TRADELOOM_NEWS_WORDS` is `AAPL=Apple,iPhone;MSFT=Microsoft`. A word is found whole and in any case; a symbol without
words is its own. The words go into each page's reader: other words tomorrow change nothing that is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trading.errors import InputError

SETTING = "TRADELOOM_NEWS_WORDS"
Words = Mapping[str, tuple[str, ...]]


def words_of(setting: str) -> Words:
    """Return symbol -> words of a setting; empty where it says nothing.

    Raises:
        InputError: it is not of the form `SYMBOL=word,word;SYMBOL=word`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in setting.split(";"))):
        symbol, equals, listed = part.partition("=")
        words = tuple(filter(None, (word.strip() for word in listed.split(","))))
        if not (symbol.strip() and equals and words) or '"' in listed:
            raise InputError(f"expected {SETTING} such as AAPL=Apple,iPhone;MSFT=Microsoft, found {part!r} in it")
        found[symbol.strip()] = words
    return found


def setting_of(words: Words) -> str:
    """Return the setting that says the same, for a reader."""
    return ";".join(f"{symbol}={','.join(listed)}" for symbol, listed in sorted(words.items()))


def words_for(symbol: str, words: Words) -> tuple[str, ...]:
    """Return the words of one symbol."""
    return words.get(symbol) or (symbol,)


def symbols_in(text: str, words: Words) -> list[str]:
    """Return the symbols of which a word is in the text."""
    return [symbol for symbol, listed in words.items() if any(_is_in(word, text) for word in listed)]


def _is_in(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
