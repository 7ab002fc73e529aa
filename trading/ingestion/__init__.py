"""From a vendor's payload to rows that may be published. Pure: bytes and facts in, rows and defects out.

The order of the work, one module each: `payload` (bytes -> records of cells), `cells` (a cell -> an exact decimal, a
date or a moment), `prices` / `actions` / `news` (records -> candidates and defects), `versions` (what is new, and since
when it is known), `report`. No database, no network, no clock: `trading.adapters.ingest` brings those.
Import the submodules directly.
"""
