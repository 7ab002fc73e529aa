"""Reading the contracts. A file that is wrong is refused in one line that names the place in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trading.contracts.contract import Contract
from trading.errors import ContractError

FOLDER = Path(__file__).parent


@cache
def contracts() -> Mapping[str, Contract]:
    """Return every contract by its kind, in the order of the files' names.

    Raises:
        ContractError: a file is wrong, or two files say one rule differently.
    """
    found = {contract.kind: contract for contract in map(read_contract, sorted(FOLDER.glob("*.yaml")))}
    rules_of(found.values())
    return found


def rules_of(several: Any) -> dict[str, str]:
    """Return what every rule says, by its name.

    Raises:
        ContractError: two tables say one rule in other words.
    """
    said: dict[str, str] = {}
    for contract in several:
        for rule in contract.rules:
            if said.setdefault(rule.name, rule.says) != rule.says:
                raise ContractError(
                    f"expected rule {rule.name} to say the same in every contract, found {rule.says!r} in "
                    f"{contract.table} and {said[rule.name]!r} elsewhere; make them one sentence"
                )
    return said


def read_contract(path: Path) -> Contract:
    """Return the contract in a file.

    Raises:
        ContractError: the file is no YAML, or not of the form of a contract.
    """
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader())
    except yaml.YAMLError as error:
        raise ContractError(f"expected YAML in {path.name}, found {' '.join(str(error).split())}") from error
    try:
        contract = Contract.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ContractError(
            f"expected a contract in {path.name}, found at {place}: {first['msg']}; see docs/contracts.md"
        ) from error
    if contract.name != path.stem:
        raise ContractError(
            f"expected the contract of {contract.table} in {contract.name}.yaml, found it in {path.name}"
        )
    return contract


def _loader() -> Any:
    """A safe loader that refuses a key given twice: YAML would keep the last one in silence."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in found:
                raise yaml.YAMLError(f"key {key!r} twice at line {key_node.start_mark.line + 1}")
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader
