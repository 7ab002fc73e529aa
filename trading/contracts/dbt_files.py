"""A contract as dbt reads it: the source, the staging view's contract and tests, the mart's contract and constraints.

dbt compares the columns and types of a view with its contract, but PostgreSQL has no constraints on views: there each
constraint becomes a data test, which `dbt build` runs before the marts. A mart is a table, so there they are
constraints, and a row that breaks one cannot be in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from trading.contracts.contract import Column, Contract, Mart
from trading.contracts.ddl import conditions

SOURCES = "models/raw_tables.yml"
_MADE = "# Made by `python -m orchestration.contracts --write` from trading/contracts/{}: change it there.\n"


def dbt_files(contracts: Iterable[Contract]) -> dict[str, str]:
    """Return the files of the dbt project that contracts make, by their path in it."""
    several = list(contracts)
    files = {SOURCES: _text("*.yaml", {"sources": _sources(several)})}
    for contract in several:
        if contract.dbt.model:
            files[f"models/staging/{contract.dbt.model}.yml"] = _text(
                f"{contract.name}.yaml", {"models": [_staging(contract)]}
            )
        for mart in contract.dbt.marts:
            files[f"models/marts/{mart.model}.yml"] = _text(
                f"{contract.name}.yaml", {"models": [_mart(contract, mart)]}
            )
    return files


def _sources(contracts: list[Contract]) -> list[dict[str, Any]]:
    schemas = sorted({contract.schema_name for contract in contracts})
    return [
        {"name": schema, "schema": schema, "tables": [_table(one) for one in contracts if one.schema_name == schema]}
        for schema in schemas
    ]


def _table(contract: Contract) -> dict[str, Any]:
    return {
        "name": contract.name,
        "description": contract.grain,
        "columns": [_column(column) for column in contract.columns],
    }


def _staging(contract: Contract) -> dict[str, Any]:
    needed = [column.name for column in contract.columns if not column.nullable]
    return {
        "name": contract.dbt.model,
        "description": contract.grain,
        "config": {"contract": {"enforced": True}},
        "columns": [
            _column(column) | ({"data_tests": ["unique"]} if column.identity else {}) for column in contract.columns
        ],
        "data_tests": [
            {
                "name": f"{contract.dbt.model}_keeps_its_contract",
                "test_name": "keeps_contract",
                "arguments": {"not_null": needed, "conditions": conditions(contract)},
            },
            {
                "name": f"{contract.dbt.model}_has_one_row_per_version",
                "test_name": "as_of_key",
                "arguments": {"columns": list(contract.version_key)},
            },
        ],
    }


def _mart(contract: Contract, mart: Mart) -> dict[str, Any]:
    return {
        "name": mart.model,
        "description": mart.grain,
        "config": {
            "contract": {"enforced": True},
            "indexes": [{"columns": list(columns)} for columns in mart.indexes],
        },
        "constraints": [
            {"type": "primary_key", "columns": list(mart.primary_key)},
            *({"type": "unique", "columns": [name]} for name in mart.unique),
            *(
                {"type": "check", "expression": condition}
                for condition in conditions(contract).values()
                if _columns_of(condition, contract) <= set(mart.columns)
            ),
        ],
        "columns": [_constrained(contract.column(name)) for name in mart.columns],
    }


def _columns_of(condition: str, contract: Contract) -> set[str]:
    words = set(re.findall(r"[a-z_][a-z0-9_]*", re.sub(r"'[^']*'", "", condition)))
    return words & {column.name for column in contract.columns}


def _constrained(column: Column) -> dict[str, Any]:
    return _column(column) | ({} if column.nullable else {"constraints": [{"type": "not_null"}]})


def _column(column: Column) -> dict[str, Any]:
    unit = f" Unit: {column.unit}." if column.unit else ""
    return {"name": column.name, "data_type": column.type, "description": f"{column.description}{unit}"}


def _text(made_from: str, content: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Lists are indented below their key, as in the files written by hand."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            del indentless
            return super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    body: str = yaml.dump({"version": 2} | content, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
    return _MADE.format(made_from) + body
