"""How a payload is read: everything beside the bytes that decides which rows come out.

A batch stores its reader, so that years later the same payload gives the same rows. A change of the parser that would
give other rows for an old payload needs a new `parser` number and keeps the old path.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal, cast, get_args

from trading.errors import InputError

Kind = Literal["prices", "actions", "news", "universe", "trades"]
Mode = Literal["history", "live"]
Adjustment = Literal["raw", "split", "all"]
Gap = Literal["refuse", "split", "join"]

FILE_FORMATS = ("csv", "csv.gz", "parquet")
_LEFT_OUT: dict[str, Any] = {"gap": "refuse", "details": {}}

# The newest way to read each kind. 2 of prices: a bar ends with its session at the latest, and there are weeks and months.
# 2 of actions: every kind of action, and price files that name them in their columns. 3: a file with a column for each.
NEWEST_PARSER: dict[Kind, int] = {"prices": 2, "actions": 3, "news": 1, "universe": 1, "trades": 1}

_PARTITION = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))(?:\.\.(\d{4}-(?:0[1-9]|1[0-2])))?")


@dataclass(frozen=True)
class Reader:
    """The reading of one payload.

    Attributes:
        format: One of `FILE_FORMATS`; or a vendor's, `vendor.format`, which the vendor's module reads.
        columns: The user's mapping, our column -> the file's; what it does not name is found by its usual names.
        calendar: The exchange calendar of symbols that no instrument describes yet.
        partition: None for all rows, a month `2004-05`, or months `2004-05..2004-08`, both ends included.
        gap: What bars after a long gap of their symbol are: not published (`refuse`), another company's, published under
            a symbol of their own (`split`), or stated to be the same company's (`join`).
        details: What a vendor's answer does not say itself, such as the symbol that was asked for.
    """

    kind: Kind
    format: str
    columns: dict[str, str] = field(default_factory=dict)
    interval: str = "1d"
    adjustment: Adjustment = "raw"
    calendar: str = "XNYS"
    partition: str | None = None
    parser: int = 1
    gap: Gap = "refuse"
    details: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no parser here can follow."""
        if self.adjustment not in get_args(Adjustment):
            raise InputError(f"expected the adjustment raw, split or all, found {self.adjustment!r}")
        if self.gap not in get_args(Gap):
            raise InputError(f"expected the gap refuse, split or join, found {self.gap!r}")
        if not 1 <= self.parser <= NEWEST_PARSER[self.kind]:
            raise InputError(
                f"expected parser {NEWEST_PARSER[self.kind]} or older for {self.kind}, found {self.parser}: "
                "this payload needs a newer release"
            )
        if self.partition is not None and not _PARTITION.fullmatch(self.partition):
            raise InputError(f"expected a month such as 2004-05 or months 2004-05..2004-08, found {self.partition!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the reader as JSON values; part of a batch's identity.

        The default gap and empty details are left out: batches of before there were any keep their identity.
        """
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in _LEFT_OUT or value != _LEFT_OUT[name]}

    @property
    def is_page(self) -> bool:
        """Whether it reads what a vendor was asked for, no file and nothing that a stream told by itself."""
        return "." in self.format and self.format not in FILE_FORMATS and not self.format.endswith(".stream")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Reader:
        """Return the reader that `as_dict` wrote."""
        return cls(**values)

    def wants(self, day: date) -> bool:
        """Tell whether a row about `day` belongs to the partition asked for."""
        if self.partition is None:
            return True
        first, last = cast(re.Match[str], _PARTITION.fullmatch(self.partition)).groups()
        return first <= f"{day:%Y-%m}" <= (last or first)


def format_of(name: str) -> str:
    """Return the format that a file's name promises.

    Raises:
        InputError: neither CSV nor Parquet by its name.
    """
    for ending, found in ((".csv.gz", "csv.gz"), (".csv", "csv"), (".parquet", "parquet"), (".pq", "parquet")):
        if name.lower().endswith(ending):
            return found
    raise InputError(f"expected a file named .csv, .csv.gz or .parquet, found {name}")
