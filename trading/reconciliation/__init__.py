"""What should be there and what is: bars compared with the sessions of their calendars. Nothing here fills a gap.

What does not live here: reading the warehouse (trading/adapters/reconcile.py) and the record that ingestion keeps of
each session (trading/adapters/completeness.py).
"""
