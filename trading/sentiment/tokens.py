"""Company news as tokens: words, marks, and numbers with their scale.

Written and tokenised newswire ("5.1 mn , up") read alike here, and so do "EUR 8.7m" and "8.7 million"; what the tokens
mean is in features.py, the word lists are in cues.py. Pure functions of one text.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trading.sentiment import cues

_TOKEN: Final = re.compile(
    r"(?P<number>(?<![\w.])-?\d[\d,]*(?:\.\d+)?)\s?(?P<unit>%|percent\b|per cent\b|pct\b|[mbk]n?\b|mln\b|bln\b|"
    r"(?:m|b)illion\b|thousand\b)?|(?P<word><[a-z]+>|[a-z][a-z'&-]*)|(?P<mark>[$€£(),;:.])"
)
_SCALE: Final = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9}
_MONTHS: Final = frozenset(
    {"january", "february", "march", "april", "may", "june", "july"}
    | {"august", "september", "october", "november", "december"}
)
_MONEY: Final = frozenset(["eur", "euro", "euros", "usd", "sek", "nok", "dkk", "gbp", "$", "€", "£"])
_GLUED: Final = re.compile(r"\b(eur|usd|sek|nok|dkk|gbp|chf|rub|inr)(?=\d)")
_BRACKET: Final = re.compile(r"\([^()]*\d[^()]*\)")
_CURRENCY: Final = re.compile(r"[$€£]|\b(?:eur|usd|sek|nok|dkk|gbp|chf|rub|inr)|\bdollar|\bkron")
_ONE_CURRENCY: Final = {"€": "eur", "$": "usd", "dollar": "usd", "£": "gbp", "kron": "sek"}
_PHRASES: Final = tuple(
    (re.compile(rf"\b(?:{pattern})(?![\w-])"), f" {meaning} ") for pattern, meaning in cues.PHRASES.items()
)


@dataclass(frozen=True)
class Token:
    """A word, a mark or a number; `value` is NaN for all but numbers that can be compared."""

    text: str
    value: float = math.nan
    is_percent: bool = False

    @property
    def is_number(self) -> bool:
        """Whether this is an amount, a count or a rate: dates do not count."""
        return not math.isnan(self.value)


def tokens(text: str) -> list[Token]:
    """Split a text into lower-case tokens, set phrases of cues.py taken as one word each."""
    lowered = text.lower().replace("\u2019", "'").replace("\u2013", "-").replace(" 's", "'s")
    lowered = _BRACKET.sub(_without_conversion, _GLUED.sub(r"\1 ", lowered))
    for pattern, meaning in _PHRASES:
        lowered = pattern.sub(meaning, lowered)
    found = [_token(match) for match in _TOKEN.finditer(lowered)]
    return [_without_date(found, at) for at in range(len(found))]


def _without_conversion(match: re.Match[str]) -> str:
    """Drop "($ 4.1 mln)" after "3.1 mln euro": the same sum in another currency is no earlier figure."""
    inside, before = _CURRENCY.findall(match[0]), _CURRENCY.findall(match.string[: match.start()])
    is_conversion = bool(inside and before) and _same(inside[0]) != _same(before[-1])
    return " " if is_conversion else match[0]


def _same(currency: str) -> str:
    return _ONE_CURRENCY.get(currency, currency)


def _token(match: re.Match[str]) -> Token:
    if match["number"] is None:
        return Token(match[0])
    unit = match["unit"] or ""
    is_percent = unit == "%" or unit.startswith("p")
    scale = 1.0 if is_percent or not unit else _SCALE[unit[0]]
    return Token("<percent>" if is_percent else "<number>", _value(match["number"]) * scale, is_percent)


def _value(digits: str) -> float:
    """Read "1,250.5" and "12,804,550" as thousands and "5,1" as a decimal comma."""
    whole = digits.rstrip(",")
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", whole) or whole.count(",") > 1:
        return float(whole.replace(",", ""))
    return float(whole.replace(",", ".") if "." not in whole else whole.replace(",", ""))


def _without_date(found: Sequence[Token], at: int) -> Token:
    """Turn a year or the day of a month into <date>: nobody compares it with an amount."""
    token = found[at]
    beside = {found[other].text for other in (at - 1, at + 1) if 0 <= other < len(found)}
    is_year = token.value in range(1900, 2101) and not beside & _MONEY
    is_day = token.value in range(1, 32) and bool(beside & _MONTHS)
    return Token("<date>") if (is_year or is_day) and not token.is_percent else token
