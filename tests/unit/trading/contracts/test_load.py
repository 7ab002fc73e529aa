"""Contracts are read strictly: what is wrong in a file is told in one line, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.contracts.ddl import conditions, create_table
from trading.contracts.load import FOLDER, contracts, read_contract, rules_of
from trading.errors import ContractError

SMALL = """
table: raw.ticks
kind: ticks
grain: One row per tick.
meaning: A tick.
key: [symbol]
columns:
  - {name: tick_id, type: bigint, group: ids, identity: true, description: Number.}
  - {name: symbol, type: text, group: ids, required: true, description: Instrument.}
  - {name: size, type: "numeric(20, 8)", group: numerics, range: {above: 0, at_most: 9, rule: odd_size}, description: Size.}
  - {name: watermark, type: bigint, group: ids, references: raw.watermarks, description: Publication.}
  - {name: row_hash, type: bytea, group: ids, bytes: 32, nullable: true, description: Hash.}
rules:
  - {name: missing_value, says: nothing is missing}
  - {name: odd_size, says: a size is above 0 and at most 9}
  - {name: conflicting_duplicate, says: no two rows of a key}
"""


def _written(folder: Path, text: str, name: str = "ticks.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_contract_gives_its_table(tmp_path: Path) -> None:
    contract = read_contract(_written(tmp_path, SMALL))
    assert create_table(contract, "t") == (
        "create table t (\n"
        "    tick_id bigint generated always as identity primary key,\n"
        "    symbol text not null,\n"
        "    size numeric(20, 8) not null,\n"
        "    watermark bigint not null references raw.watermarks,\n"
        "    row_hash bytea,\n"
        "    check (size > 0),\n"
        "    check (size <= 9),\n"
        "    check (octet_length(row_hash) = 32),\n"
        "    unique (symbol, watermark)\n"
        ")"
    )
    assert list(conditions(contract)) == ["size_range", "size_range_2", "row_hash_range"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: ticks", "kind: ticks\nkind: quotes", r"expected YAML in ticks.yaml, found key 'kind' twice at line 4"),
        ("kind: ticks", "kind: ticks\ncolour: red", r"found at colour: Extra inputs are not permitted"),
        ("type: text", "type: varchar", r"found at columns.1.type: String should match pattern"),
        ("key: [symbol]", "key: [ticker]", r"key: expected a name of this file, found ticker"),
        ("rule: odd_size", "rule: odd_number", r"column size: expected a name of this file, found odd_number"),
        ("name: symbol", "name: size", r"expected each column once, found size twice"),
        ("identity: true, ", "", r"expected one identity column"),
        ("above: 0, at_most: 9, ", "", r"expected one of above, at_least, below, at_most, one_of"),
        ("says: nothing is missing", "says: ''", r"found at rules.0.says"),
        ("  - {name: missing_value, says: nothing is missing}\n", "", r"found missing_value"),
        ("columns:", "columns: [", r"expected YAML in ticks.yaml"),
        ("table: raw.ticks", "table: raw.quotes", r"expected the contract of raw.quotes in quotes.yaml"),
        (
            "odd_size, says: a size is above 0 and at most 9",
            "odd_size, says: x, expectations: [{is_true: size, not_null: size}]",
            "expected exactly one of ordered, above, equal, is_true, not_null",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in SMALL
    with pytest.raises(ContractError, match=told) as caught:
        read_contract(_written(tmp_path, SMALL.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_one_rule_says_the_same_in_every_table() -> None:
    here = contracts()["prices"]
    other = here.model_copy(update={"table": "raw.other", "rules": (here.rules[0].model_copy(update={"says": "no"}),)})
    with pytest.raises(ContractError, match="expected rule missing_value to say the same in every contract"):
        rules_of([here, other])


def test_every_kind_has_one_contract_named_as_its_table() -> None:
    assert {f"{contract.name}.yaml" for contract in contracts().values()} == {
        path.name for path in FOLDER.glob("*.yaml")
    }
    assert {"prices", "actions", "news"} <= contracts().keys()


def test_every_column_that_is_a_number_says_its_unit() -> None:
    numbers = [column for one in contracts().values() for column in one.columns if column.type.startswith("numeric")]
    assert numbers
    assert [column.name for column in numbers if column.unit is None] == []
