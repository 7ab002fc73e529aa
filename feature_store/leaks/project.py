"""Models of the dbt project as the gate needs them: compiled SQL, how they are materialised, what they declare.

versioned models                  under the gate by what they are
any other with one line of YAML   config: {meta: {leaks: {decision_at: known_at}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from feature_store.build import DBT_PROJECT, dbt_build
from trading.errors import InputError

DECLARATION = "leaks:"


@dataclass(frozen=True)
class Model:
    """One dbt model.

    Attributes:
        relation: schema.name, such as features.daily.
        sql: Compiled, without the database's name.
        leaks: What its YAML declares under config.meta.leaks; None if nothing.
    """

    name: str
    relation: str
    is_versioned: bool
    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    leaks: Mapping[str, Any] | None = None


def model_named(url: str, name: str, variables: Mapping[str, str], project: Path = DBT_PROJECT) -> Model:
    """Return one model by its name (`daily`), its relation (`features.daily`) or its file.

    Raises:
        InputError: the project has no such model.
        BuildError: it does not compile.
    """
    wanted = Path(name).stem if name.endswith(".sql") else name.rpartition(".")[2]
    known = {path.stem for path in (project / "models").rglob("*.sql")}
    if wanted not in known:
        raise InputError(f"expected a dbt model ({', '.join(sorted(known))}) or a Python file, found {name}")
    return _compiled(url, ("--select", wanted), variables, project)[wanted]


def declared_models(url: str, variables: Mapping[str, str], project: Path = DBT_PROJECT) -> list[Model]:
    """Return the models that declare themselves in YAML, by name; nothing is compiled if no file says so."""
    files = (project / "models").rglob("*.yml")
    if not any(DECLARATION in path.read_text() for path in files):
        return []
    models = _compiled(url, (), variables, project)
    return [models[name] for name in sorted(models) if models[name].leaks is not None and not models[name].is_versioned]


def _compiled(url: str, selection: tuple[str, ...], variables: Mapping[str, str], project: Path) -> dict[str, Model]:
    with TemporaryDirectory(prefix="tradeloom-leaks-") as scratch:
        target = Path(scratch) / "target"
        dbt_build(url, variables=variables, arguments=("compile", *selection), project=project, target_path=target)
        manifest = json.loads((target / "manifest.json").read_text())
    nodes = (
        node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node.get("compiled_code")
    )
    return {node["name"]: _model(node) for node in nodes}


def _model(node: Mapping[str, Any]) -> Model:
    config = node["config"]
    return Model(
        name=node["name"],
        relation=f"{node['schema']}.{node['name']}",
        is_versioned=config["materialized"] == "versioned",
        sql=_without_database(node["compiled_code"], node["database"]),
        parameters=config.get("parameters") or {},
        leaks=(config.get("meta") or {}).get("leaks"),
    )


def _without_database(compiled: str, database: str) -> str:
    """Do what the macro without_database does, so that the same model is the same text."""
    plain = compiled.replace(f'"{database}".', "")
    for name in ("pending_bars", "pending_indicators"):
        plain = plain.replace(f'"features"."{name}"', name)
    return plain.strip(" \n\t\r;")
