"""A revision of two bars of the sample, as a vendor sends one after the fact: the demo shows what it reaches.

It is made up: MSFT's volume of one session of the training window, IBM's close of one that the sessions traded on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trading.errors import InputError
from trading.ingestion.ports import Delivery
from trading.ingestion.reader import Kind, Mode, Reader

_FILE = Path(__file__).parent / "sample_revision.csv"

DELIVERED_AT = datetime(2013, 3, 4, 14, 0, tzinfo=UTC)
"""After the sample's last bar was known. Fixed, so that delivering it again is the batch that is there."""


@dataclass(frozen=True)
class SampleRevision:
    """Delivers under the name `sample`: a correction is the same source's."""

    name: str = "sample"
    default_mode: Mode = "live"

    def deliver(self, kind: Kind, partition: str | None) -> Delivery:
        """Return the two bars.

        Raises:
            InputError: another kind than prices was asked for.
        """
        if kind != "prices":
            raise InputError(f"expected prices of the sample's revision, found {kind} asked for; it has no others")
        return Delivery(_FILE.read_bytes(), _FILE.name, Reader(kind, "csv", partition=partition))
