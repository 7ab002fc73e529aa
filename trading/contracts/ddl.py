"""A contract as the table it describes, in SQL: what PostgreSQL's own catalogue is compared with.

The real tables are made by migrations, which are never changed; a test makes this one beside them and compares columns,
keys and constraints as PostgreSQL itself writes them down.
"""

from __future__ import annotations

from trading.contracts.contract import Column, Contract


def create_table(contract: Contract, name: str) -> str:
    """Return the `create table` of a contract under another name, with every constraint that it says."""
    parts = [
        *(_column(column, contract.partitioned_by) for column in contract.columns),
        *(f"check ({condition})" for condition in conditions(contract).values()),
        *_keys(contract),
    ]
    return f"create table {name} (\n    " + ",\n    ".join(parts) + "\n)"


def _keys(contract: Contract) -> list[str]:
    time, unique = contract.partitioned_by, contract.version_key
    if time is None:
        return [f"unique ({', '.join(unique)})"]
    wider = unique if time in unique else (*unique, time)
    return [f"unique ({', '.join(wider)})", f"primary key ({contract.identity}, {time})"]


def conditions(contract: Contract) -> dict[str, str]:
    """Return every condition that each row keeps, by a name that a person can read."""
    of_columns = {
        _named(column, place): condition
        for column in contract.columns
        for place, condition in enumerate(column.conditions())
    }
    return of_columns | {check.name: check.sql for check in contract.checks}


def _named(column: Column, place: int) -> str:
    return f"{column.name}_range" if place == 0 else f"{column.name}_range_{place + 1}"


def _column(column: Column, time: str | None) -> str:
    words = [column.name, column.type]
    if column.identity:
        words.append("generated always as identity" + (" primary key" if time is None else ""))
    elif not column.nullable:
        words.append("not null")
    if column.default is not None:
        words.append(f"default '{column.default}'")
    if column.references and column.references_asked_by == "key":
        words.append(f"references {column.references}")
    return " ".join(words)
