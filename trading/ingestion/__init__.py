"""From a vendor's payload to rows that may be published. Pure: bytes and facts in, rows and defects out.

The order of the work, one module each: `payload` (bytes -> records of cells), `cells` (a cell -> an exact decimal, a
date or a moment), `prices` / `actions` / `news` (records -> candidates and defects), `versions` (what is new, and since
when it is known), `report`. Prices, of which there may be millions, go through in blocks of columns that say the same:
`blocks` (bytes -> columns of cells), `bar_columns` and `exact_texts` (cells -> bars), `bar_hashes`.

No database, no network, no clock: `trading.adapters.ingest` brings those. Import the submodules directly.
"""
