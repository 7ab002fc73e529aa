"""The source `sample`: real daily prices 2000-2013 of AAPL, FB, GOOG, IBM and MSFT, and news about them. No network.

Prices are the public-domain file inside the wheel `bokeh_sampledata`, delivered as it lies there (gzipped CSV, as
traded). It is read as bytes and never through `bokeh_sampledata.stocks`, which would turn the decimals into floats. Its
three splits show in the raw prices on the ex-dates of `sample_actions.csv`. The news are written by this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from trading.errors import InputError
from trading.ingestion.ports import Delivery
from trading.ingestion.reader import Kind, Mode, Reader

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """The offline default."""

    name: str = "sample"
    default_mode: Mode = "history"

    def deliver(self, kind: Kind, partition: str | None) -> Delivery:
        """Return the sample's whole file of this kind; `partition` says which rows of it are meant.

        Raises:
            InputError: the wheel with the prices is not installed.
        """
        if kind == "prices":
            return Delivery(_prices_file().read_bytes(), "stocks.csv.gz", Reader(kind, "csv.gz", partition=partition))
        name = f"sample_{kind}.csv"
        return Delivery((_HERE / name).read_bytes(), name, Reader(kind, "csv", partition=partition))


def _prices_file() -> Path:
    spec = find_spec("bokeh_sampledata")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("expected the package bokeh_sampledata for the sample's prices; install tradeloom[local]")
    return Path(spec.submodule_search_locations[0]) / "_data" / "stocks.csv.gz"
