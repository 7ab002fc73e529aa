"""A contract as a page for people: docs/tables/<table>.md."""

from __future__ import annotations

from collections.abc import Iterable

from trading.contracts.contract import DUPLICATE, MISSING, Column, Contract, Rule
from trading.contracts.ddl import conditions


def pages(contracts: Iterable[Contract]) -> dict[str, str]:
    """Return the pages that contracts make, by their path in docs/."""
    several = list(contracts)
    return {f"tables/{one.name}.md": _page(one) for one in several} | {"tables/README.md": _index(several)}


def _made(made_from: str) -> str:
    return f"<!-- Made by `python -m orchestration.contracts --write` from trading/contracts/{made_from}: change it there. -->"


def _index(contracts: list[Contract]) -> str:
    rows = [f"| [`{one.table}`]({one.name}.md) | {one.kind} | {one.grain} |" for one in contracts]
    lines = [
        _made("*.yaml"),
        "",
        "# The raw tables",
        "",
        "One page per table, made from its contract; [contracts](../contracts.md) says how.",
        "",
        "| table | `tradeloom ingest` | grain |",
        "|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _page(contract: Contract) -> str:
    parts = [
        _made(f"{contract.name}.yaml"),
        f"# `{contract.table}`",
        contract.grain,
        contract.meaning,
        f"A row is about ({_listed(contract.key)}); no two rows share that and `watermark`. Rows are only ever appended.",
        "## Columns",
        _table(("column", "type", "unit", "missing?", "values", "meaning"), map(_of_column, contract.columns)),
        "`required`: a delivered row without it is a bad row.",
        "## Rules of the gate",
        "Judged on every batch before it is published; a row that breaks one goes to `raw.quarantined_rows`.",
        _table(("rule", "what is expected", "judged by"), [_of_rule(contract, rule) for rule in contract.rules]),
        "## Constraints",
        "The table itself refuses a row that breaks one, whoever writes it; dbt tests the same of the staging view.",
        _table(("name", "SQL"), [(f"`{name}`", f"`{sql}`") for name, sql in conditions(contract).items()]),
        *_defects(contract),
        "## Who reads it",
        _readers(contract),
    ]
    return "\n\n".join(parts) + "\n"


def _of_column(column: Column) -> tuple[str, ...]:
    missing = "may be" if column.nullable else "required" if column.required else "never"
    return (f"`{column.name}`", column.type, column.unit or "", missing, _values(column), column.description)


def _values(column: Column) -> str:
    if column.range is None:
        return f"{column.bytes} bytes" if column.bytes else ""
    bounds = [f"{operator} {bound}" for operator, bound in column.range.comparisons()]
    return ", ".join([*bounds, *(f"`{value}`" for value in column.range.one_of)])


def _of_rule(contract: Contract, rule: Rule) -> tuple[str, ...]:
    judged = bool(rule.expectations) or rule.name in {MISSING, DUPLICATE}
    judged = judged or any(column.range and column.range.rule == rule.name for column in contract.columns)
    return (f"`{rule.name}`", rule.says, "Great Expectations" if judged else "the reader of the file")


def _defects(contract: Contract) -> list[str]:
    if not contract.known_defects:
        return []
    return ["## Known defects", "\n".join(f"- {defect}" for defect in contract.known_defects)]


def _readers(contract: Contract) -> str:
    readers = [contract.dbt.model, *(mart.model for mart in contract.dbt.marts)]
    models = [f"`{name}`" for name in readers if name]
    return f"dbt: {', '.join(models)}." if models else "No dbt model reads it."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
