"""What the SQL of a definition says about one column: its expression, and the steps that the expression rests on.

A reader of the SQL that our own models are written in (common table expressions, each a list of `expression as name`),
not of SQL in general. For pages and people: what computes is the SQL itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"--[^\n]*")
_TABLE = re.compile(r"(?:\bwith|,)\s+(\w+)\s+as\s+(?:materialized\s+)?\(")
_ALIAS = re.compile(r"^(?P<expression>.*?)\s+as\s+(?P<name>\w+)$", re.DOTALL)
_WINDOW = re.compile(r"^(?P<name>\w+)\s+as\s+\((?P<expression>.*)\)$", re.DOTALL)
_BARE = re.compile(r"^(?:\w+\.)?(\w+)$")
_LATERAL = re.compile(r"\blateral\s+(?P<expression>[\w.]+\(.*?\n?\s*\))\s+as\s+(?P<name>\w+)", re.DOTALL)
_NAME = re.compile(r"(?<![\w.'])[a-z_]\w*(?!\s*[\w.]*\()")
_BESIDE = "beside "  # windows and lateral joins of a query, kept with its columns under names that no column has
_LEVELS = {"(": 1, "[": 1, "case": 1, ")": -1, "]": -1, "end": -1}
_TOKEN = re.compile(r"'(?:[^']|'')*'|\w+|.", re.DOTALL)


@dataclass(frozen=True)
class Expression:
    """How one column comes about.

    Attributes:
        sql: The expression that gives the column, in one line.
        steps: name -> expression of each column or window of an earlier step that it rests on, the last step first.
    """

    sql: str
    steps: dict[str, str] = field(default_factory=dict)


def expression_of(definition_sql: str, column: str) -> Expression | None:
    """Return how `column` comes about; None if the SQL is not written as our models are, or has no such column."""
    tables = _tables(_COMMENT.sub("", definition_sql))
    found = _resolve(tables, len(tables), column)
    if found is None:
        return None
    place, sql = found
    steps: dict[str, str] = {}
    _follow(tables, place, sql, steps)
    return Expression(sql, steps)


def _follow(tables: list[dict[str, str]], place: int, sql: str, steps: dict[str, str]) -> None:
    """Add to `steps` what the names in `sql`, an expression of table `place`, stand for."""
    for name in dict.fromkeys(_NAME.findall(sql)):
        beside = tables[place].get(_BESIDE + name)
        found = (place, beside) if beside is not None else _resolve(tables, place, name)
        if found is not None and name not in steps:
            steps[name] = found[1]
            _follow(tables, *found, steps)


def _resolve(tables: list[dict[str, str]], before: int, name: str) -> tuple[int, str] | None:
    """Return where before table `before` the name is last given by more than its own name, and by what."""
    for place in range(before - 1, -1, -1):
        sql = tables[place].get(name)
        if sql is None:
            continue
        bare = _BARE.match(sql)
        if bare is None or _BESIDE + sql.partition(".")[0] in tables[place]:
            return place, sql
        if bare.group(1) != name:
            return _resolve(tables, place, bare.group(1)) or (place, sql)
    return None


def _tables(sql: str) -> list[dict[str, str]]:
    """Return the columns and windows of each common table expression, in the order of the text: name -> expression."""
    return [_columns(_until_closed(sql[start.end() :])) for start in _TABLE.finditer(sql)]


def _until_closed(text: str) -> str:
    level = 0
    for token, place in _tokens(text):
        if token == ")" and level == 0:
            return text[:place]
        level += {"(": 1, ")": -1}.get(token, 0)
    return text


def _columns(body: str) -> dict[str, str]:
    """Return the select list of one query, and beside it its windows and lateral joins."""
    chosen, _, rest = _cut(body.strip().removeprefix("select"), "from")
    columns = dict(_named(item, _ALIAS) for item in _items(chosen))
    _, _, windows = _cut(rest, "window")
    beside = {name: f"({sql})" for name, sql in (_named(item, _WINDOW) for item in _items(windows))}
    beside |= {found["name"]: " ".join(found["expression"].split()) for found in _LATERAL.finditer(rest)}
    return columns | {_BESIDE + name: sql for name, sql in beside.items()}


def _named(item: str, form: re.Pattern[str]) -> tuple[str, str]:
    found = form.match(item)
    if found is None:
        return item.rpartition(".")[2], item
    return found["name"], found["expression"]


def _cut(text: str, keyword: str) -> tuple[str, str, str]:
    """Return what is before and after the first `keyword` outside of brackets, as `str.partition` does."""
    level = 0
    for token, place in _tokens(text):
        if level == 0 and token == keyword:
            return text[:place], keyword, text[place + len(keyword) :]
        level += _LEVELS.get(token, 0)
    return text, "", ""


def _items(text: str) -> Iterator[str]:
    """Return the parts of a list: what stands between commas outside of brackets, each in one line."""
    level, start = 0, 0
    for token, place in [*_tokens(text), (",", len(text))]:
        if level == 0 and token == ",":
            if item := " ".join(text[start:place].split()):
                yield item.replace("( ", "(").replace(" )", ")")
            start = place + 1
        level += _LEVELS.get(token, 0)


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    return ((found.group().lower(), found.start()) for found in _TOKEN.finditer(text))
