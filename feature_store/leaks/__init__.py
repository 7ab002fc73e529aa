"""The leak gate where the data is: SQL definitions and dbt models judged inside PostgreSQL, and what it decided.

The rules and the findings are those of trading/leaks; Python definitions are judged there. Everything here runs in one
transaction that is rolled back: temporary tables, and a future that never happened. Import the modules directly.
"""
