"""The report of a run of the main job: read from the tables, drawn as one HTML file that needs no network.

`content.py` reads, `plot.py` draws, `page.py` fills the template. Nothing is computed here that the ledger could say.
"""
