"""Running processes: the oracle (inference), the analyst (sentiment) and the trading loop.

Each reads its settings in its own `bootstrap.py`. Never imports `assets` or `orchestration`.
"""
