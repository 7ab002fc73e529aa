"""The form of a table's contract: columns, checks, rules and where dbt reads it.

A fact is said once. A column that is `required` gives the rule `missing_value`, its `range` gives the rule that it
names and the table's own constraint, `key` gives `conflicting_duplicate` and the unique key; other rules list their
expectations. Reading the files is in load.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Sentence = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Relation = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$")]
Type = Annotated[
    str,
    StringConstraints(
        pattern=r"^(bigint|integer|text|text\[\]|boolean|date|timestamptz|bytea|jsonb|double precision|numeric\(\d+, \d+\))$"
    ),
]
Bound = int | float

MISSING = "missing_value"
DUPLICATE = "conflicting_duplicate"


class Strict(BaseModel):
    """Whatever a file says that is not asked for is a mistake in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Strict):
    """What values a column takes. `rule` names the gate's rule; `implied_by` the check that already keeps the bound."""

    above: Bound | None = None
    at_least: Bound | None = None
    below: Bound | None = None
    at_most: Bound | None = None
    one_of: tuple[str, ...] = ()
    rule: Name | None = None
    implied_by: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.comparisons() and not self.one_of:
            raise ValueError("expected one of above, at_least, below, at_most, one_of")
        return self

    def comparisons(self) -> list[tuple[str, Bound]]:
        """Return the bounds as (SQL operator, number)."""
        found = ((">", self.above), (">=", self.at_least), ("<", self.below), ("<=", self.at_most))
        return [(operator, bound) for operator, bound in found if bound is not None]


class Column(Strict):
    """A column of the table. `required`: the vendor's row must have it; `nullable`: the table may lack it.

    `references_asked_by` `key`: PostgreSQL asks for each row; `statement`: a trigger of the table asks once for each
    statement, and there is no key (docs/decisions/0101, 0127).
    """

    name: Name
    type: Type
    group: Literal["ids", "texts", "numerics", "booleans", "timestamps"]
    description: Sentence
    unit: Sentence | None = None
    required: bool = False
    nullable: bool = False
    identity: bool = False
    default: str | None = None
    references: Relation | None = None
    references_asked_by: Literal["key", "statement"] = "key"
    bytes: int | None = None
    range: Range | None = None

    def conditions(self) -> list[str]:
        """Return what the table itself checks of this column alone, as SQL."""
        found = [f"octet_length({self.name}) = {self.bytes}"] if self.bytes is not None else []
        if self.range is None or self.range.implied_by is not None:
            return found
        if self.range.one_of:
            found.append(f"{self.name} in ({', '.join(repr(value) for value in self.range.one_of)})")
        return [*found, *(f"{self.name} {operator} {bound}" for operator, bound in self.range.comparisons())]


class Check(Strict):
    """A condition over several columns that the table checks: its name, the SQL, and the same in words."""

    name: Name
    sql: Sentence
    says: Sentence


class Fact(Strict):
    """A column of the gate's frame that is no column of the table."""

    name: Name
    type: Type
    description: Sentence


class Pair(Strict):
    """`smaller` <= `greater`, or below it if `strict`; a row without one of them is not judged."""

    smaller: Name
    greater: Name
    strict: bool = False


class Limit(Strict):
    """A number that a column lies above."""

    column: Name
    limit: Bound


class Expectation(Strict):
    """One thing that the gate expects; exactly one field is given."""

    ordered: Pair | None = None
    above: Limit | None = None
    equal: tuple[Name, Name] | None = None
    is_true: Name | None = None
    not_null: Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("expected exactly one of ordered, above, equal, is_true, not_null")
        return self

    def columns(self) -> list[str]:
        """Return the columns that it reads."""
        if self.ordered:
            return [self.ordered.smaller, self.ordered.greater]
        if self.above:
            return [self.above.column]
        single = self.is_true or self.not_null
        return [single] if single else list(self.equal or ())


class Rule(Strict):
    """A rule of the gate: its name, what it says, and what is expected beside ranges, key and required columns."""

    name: Name
    says: Sentence
    expectations: tuple[Expectation, ...] = ()


class Mart(Strict):
    """A mart that passes columns of this table on, with their types and checks as constraints of its own."""

    model: Name
    grain: Sentence
    primary_key: tuple[Name, ...]
    columns: tuple[Name, ...]
    unique: tuple[Name, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()


class Dbt(Strict):
    """Where dbt reads the table: the staging model, and the marts that pass it on."""

    model: Name | None = None
    marts: tuple[Mart, ...] = ()


class Contract(Strict):
    """One raw table. `kind` is the word of `tradeloom ingest`; `key` what a row is about.

    `partitioned_by`: the column of time by whose ranges rows lie in partitions; then each key of the table holds it.
    """

    table: Relation
    kind: Name
    grain: Sentence
    meaning: Sentence
    key: tuple[Name, ...] = Field(min_length=1)
    partitioned_by: Name | None = None
    known_defects: tuple[Sentence, ...] = ()
    columns: tuple[Column, ...] = Field(min_length=1)
    checks: tuple[Check, ...] = ()
    facts: tuple[Fact, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)
    dbt: Dbt = Dbt()

    @property
    def schema_name(self) -> str:
        """The table's schema."""
        return self.table.split(".")[0]

    @property
    def name(self) -> str:
        """The table's name without its schema."""
        return self.table.split(".")[1]

    @property
    def identity(self) -> str:
        """The column that numbers the versions."""
        return next(column.name for column in self.columns if column.identity)

    @property
    def version_key(self) -> tuple[str, ...]:
        """What no two rows share: the key and the publication."""
        return (*self.key, "watermark")

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)

    @model_validator(mode="after")
    def _refers_only_to_what_it_has(self) -> Self:
        columns = [column.name for column in self.columns]
        checks = {check.name for check in self.checks}
        rules = {rule.name for rule in self.rules}
        judged = {*columns, *(fact.name for fact in self.facts)}
        _once("column", [*columns, *(fact.name for fact in self.facts)])
        _once("rule", [rule.name for rule in self.rules])
        _once("check", [check.name for check in self.checks])
        _known("key", self.version_key, set(columns))
        for rule in self.rules:
            for expectation in rule.expectations:
                _known(f"rule {rule.name}", expectation.columns(), judged)
        for column in self.columns:
            if column.range is not None:
                _known(f"column {column.name}", [column.range.rule] if column.range.rule else [], rules)
                _known(f"column {column.name}", [column.range.implied_by] if column.range.implied_by else [], checks)
        for mart in self.dbt.marts:
            _known(f"mart {mart.model}", [*mart.columns, *mart.primary_key, *mart.unique], set(columns))
        _known("rules", [MISSING, DUPLICATE], rules)
        if sum(column.identity for column in self.columns) != 1:
            raise ValueError("expected one identity column")
        return self


def _once(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected each {what} once, found {', '.join(twice)} twice")


def _known(where: str, names: Any, known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"{where}: expected a name of this file, found {', '.join(unknown)}")
