"""How `tradeloom features list|show|diff|retire` looks on a terminal: answers in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any


def overview(answer: dict[str, Any]) -> str:
    """Return the views, the services and the features of each view."""
    lines = ["views"]
    lines += _table(
        [
            (
                v["name"],
                v["definition"][:12],
                f"{v['features']} features",
                f"{v['kept_up']} of {v['definitions']} kept up",
            )
            for v in answer["views"]
        ]
    )
    lines += ["", "services"]
    lines += _table(
        [
            (s["name"], f"version {s['version']}", s["definition"][:12], s["status"], ", ".join(s["columns"]))
            for s in answer["services"]
        ]
    )
    for view in answer["views"]:
        lines += ["", f"features of {view['name']} as of {answer['as_of'].isoformat()}"]
        lines += _table([_HEADER, *(_feature(one) for one in answer["features"] if one["view"] == view["name"])])
    return "\n".join(lines)


_HEADER = ("name", "unit", "newest", "age", "stalest", "null", "limit", "since", "status", "services")


def _feature(one: dict[str, Any]) -> tuple[str, ...]:
    stalest = f"{one['stalest_symbol']} {_number(one['stalest_age_sessions'])}" if one["stalest_symbol"] else "-"
    return (
        one["name"],
        one["unit"] or "-",
        one["newest_timestamp"].date().isoformat() if one["newest_timestamp"] else "-",
        _number(one["age_sessions"]),
        stalest,
        "-" if one["null_share"] is None else f"{one['null_share']:.1%}",
        _number(one["max_age_sessions"]),
        one["since"][:12],
        "stale" if one["is_stale"] else one["status"],
        ", ".join(one["services"]) or "-",
    )


def details(answer: dict[str, Any]) -> str:
    """Return what one name stands for, with the SQL last."""
    definition = answer["definition"]
    lines = [f"{answer['name']}: {answer['kind']}"]
    for one in answer.get("features", ()):
        lines += _feature_details(one)
    if service := answer.get("service"):
        lines += [
            f"  version {service['version']}, {service['status']}, registered {_moment(service['registered_at'])}"
        ]
        lines += [f"  columns: {', '.join(service['columns'])}"]
    lines += [
        f"definition {definition['definition']} of {definition['view']}, {definition['status']},"
        f" registered {_moment(definition['registered_at'])} at watermark {definition['watermark']}",
        f"  columns: {', '.join(definition['columns'])}",
        *(f"  parameter {name}: {value}" for name, value in definition["parameters"].items()),
        *(f"  function {name}  {sha256[:12]}" for name, sha256 in definition["functions"].items()),
        *(f"  referred to by {one['kind']} {one['name']}" for one in answer["references"]),
        "",
        definition["sql"],
    ]
    return "\n".join(lines)


def _feature_details(one: dict[str, Any]) -> list[str]:
    expression = one["expression"] or {"sql": "-", "steps": {}}
    return [
        f"{one['view']}.{one['name']}: {one['description'] or 'no description'}",
        f"  unit {one['unit'] or '-'}, {one['dtype']}, from bar {one['warm_up_bars'] or '-'} on,"
        f" age limit {_number(one['max_age_sessions'])}, {one['source_file'] or '-'}, since {one['since'][:12]}",
        f"  = {expression['sql']}",
        *(f"    {name} = {sql}" for name, sql in expression["steps"].items()),
    ]


def difference(answer: dict[str, Any]) -> str:
    """Return how two definitions differ."""
    lines = [f"{answer['from_definition']} -> {answer['to_definition']} of {answer['view']}"]
    lines += [f"  column added: {name}" for name in answer["columns_added"]]
    lines += [f"  column removed: {name}" for name in answer["columns_removed"]]
    for kind in ("parameters", "functions"):
        lines += [f"  {kind[:-1]} {name}: {was} -> {now}" for name, (was, now) in answer[kind].items()]
    lines += answer["sql"] or ["  the SQL is the same"]
    if "values" in answer:
        lines += ["", *_table([("column", "rows", "differing", "largest"), *map(_values, answer["values"])])]
    return "\n".join(lines)


def _values(one: dict[str, Any]) -> tuple[str, ...]:
    largest = "-" if one["largest"] is None else f"{one['largest']:.6g}"
    return one["column"], str(one["rows"]), str(one["differing"]), largest


def retirement(answer: dict[str, Any]) -> str:
    """Return whether a definition was retired, and if not who refers to it."""
    if answer["retired"]:
        return f"definition {answer['definition'][:12]}: retired; its rows stay readable"
    named = "".join(f"\n  {one['kind']} {one['name']}" for one in answer["references"])
    return f"definition {answer['definition'][:12]} is not retired, it is referred to by{named}"


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    listed = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*listed, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="seconds")
