"""Files that contracts make are what the contracts give; a change by hand is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from orchestration import contracts as command
from trading.contracts.dbt_files import dbt_files
from trading.contracts.load import contracts
from trading.contracts.pages import pages


def test_every_made_file_is_what_its_contract_gives() -> None:
    assert [str(path) for path in command.differing()] == [], "run `python -m orchestration.contracts --write`"


def test_a_file_changed_by_hand_is_named_and_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "DBT_PROJECT", tmp_path / "dbt")
    monkeypatch.setattr(command, "DOCS", tmp_path / "docs")
    run = CliRunner().invoke
    assert run(command.main, []).exit_code == 1
    assert run(command.main, ["--write"]).exit_code == 0
    assert run(command.main, ["--json"]).output == '{"differing": []}\n'
    by_hand = tmp_path / "dbt" / "models" / "staging" / "stg_price_bars.yml"
    by_hand.write_text(by_hand.read_text().replace("open > 0", "open >= 0"))
    found = run(command.main, ["--json"])
    assert (found.exit_code, found.output) == (1, '{"differing": ["dbt/models/staging/stg_price_bars.yml"]}\n')


def test_the_staging_view_promises_every_column_with_its_type() -> None:
    files = dbt_files(contracts().values())
    (model,) = yaml.safe_load(files["models/staging/stg_price_bars.yml"])["models"]
    assert model["config"] == {"contract": {"enforced": True}}
    types = {column["name"]: column["data_type"] for column in model["columns"]}
    assert (types["open"], types["volume"], types["known_at"]) == ("numeric(15, 6)", "numeric(20, 8)", "timestamptz")
    assert len(types) == 16


def test_the_mart_has_the_checks_of_the_columns_that_it_passes_on() -> None:
    (model,) = yaml.safe_load(dbt_files(contracts().values())["models/marts/market_data.yml"])["models"]
    checks = [one["expression"] for one in model["constraints"] if one["type"] == "check"]
    assert "high >= greatest(open, close) and low <= least(open, close)" in checks
    assert "known_at >= nominal_at" not in checks  # the mart has no nominal_at
    assert all(column["constraints"] == [{"type": "not_null"}] for column in model["columns"])


def test_the_page_of_a_table_names_each_column_rule_and_defect() -> None:
    for contract in contracts().values():
        page = pages([contract])[f"tables/{contract.name}.md"]
        names = [column.name for column in contract.columns] + [rule.name for rule in contract.rules]
        assert [name for name in names if f"| `{name}` |" not in page] == []
        assert all(f"- {defect}" in page for defect in contract.known_defects)
