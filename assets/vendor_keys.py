"""The keys of what vendors deliver: the assets are in assets/vendors.py, what follows from them elsewhere."""

import dagster as dg

from trading.adapters.sources.registry import VENDORS, vendor_named
from trading.ingestion.reader import Kind


def vendor_key(name: str, kind: Kind) -> dg.AssetKey:
    """Return the key of what a vendor delivers of a kind, such as `vendor/yfinance_prices`."""
    return dg.AssetKey(["vendor", f"{name}_{kind}"])


def vendor_keys(kind: Kind) -> list[dg.AssetKey]:
    """Return the keys of every vendor that has this kind."""
    return [vendor_key(name, kind) for name in VENDORS if kind in vendor_named(name).kinds]
