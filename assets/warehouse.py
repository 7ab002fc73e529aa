"""What dbt builds: staging, intermediate, `marts.market_data`, and the versioned views of indicators and days.

The SQL lives in dbt/. The versioned models do not rebuild anything: they register their compiled SQL as a definition
and let `features.advance` make what is missing (docs/decisions/0030).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from psycopg import sql

from assets.sentiment import champion_scorer
from feature_store.build import DBT_PROJECT, dbt_build, dbt_environment, dbt_executable, failure_in
from feature_store.references import tend
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry
from trading.errors import BuildError

WAREHOUSE_GROUP = "warehouse"
FEATURES_GROUP = "features"
WAREHOUSE_POOL = "warehouse"
MARKET_DATA = dg.AssetKey(["marts", "market_data"])
INDICATORS = dg.AssetKey(["marts", "indicators"])
INDICATORS_EXTENDED = dg.AssetKey(["marts", "indicators_extended"])
DAILY = dg.AssetKey(["features", "daily"])
NEWS_SCORES = dg.AssetKey(["features", "news_scores"])


# The shapes that the versioned models select from: features.advance puts rows in their place, so they are no assets.
_SHAPES = {"pending_bars", "pending_indicators"}


class Translator(DagsterDbtTranslator):  # type: ignore[misc]
    """Asset = table = file: the key is [schema, table], the group the folder's stage."""

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Return the asset of one dbt node."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id) or manifest["sources"][unique_id]
        is_feature = node["schema"] == "features"
        described: dg.AssetSpec = spec.replace_attributes(
            key=dg.AssetKey([node["schema"], node["name"]]),
            deps=[dep for dep in spec.deps if dep.asset_key.path[-1] not in _SHAPES],
            group_name=FEATURES_GROUP if is_feature else WAREHOUSE_GROUP,
            kinds={"dbt", "postgres"},
        )
        return described


def manifest_path() -> Path:
    """Return the manifest of the dbt project, parsed anew when a file of the project is younger than it."""
    manifest = DBT_PROJECT / "target" / "manifest.json"
    written = [
        path for path in DBT_PROJECT.rglob("*") if path.suffix in {".sql", ".yml"} and "target" not in path.parts
    ]
    if not manifest.exists() or manifest.stat().st_mtime < max(path.stat().st_mtime for path in written):
        _parse_into(manifest)
    return manifest


def _parse_into(manifest: Path) -> None:
    """Parse into a folder of our own and move the result: several processes may load the definitions at once."""
    manifest.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=manifest.parent) as scratch:
        dbt_build("", arguments=("parse",), target_path=Path(scratch))
        shutil.move(Path(scratch) / "manifest.json", manifest)


_SETTINGS = DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False)


@dbt_assets(  # type: ignore[untyped-decorator]
    manifest=manifest_path(),
    name="dbt_models",
    dagster_dbt_translator=Translator(_SETTINGS),
    pool=WAREHOUSE_POOL,
)
def dbt_models(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    registry: dg.ResourceParam[ModelRegistry],
) -> Iterator[Any]:
    """Staging, intermediate, marts, and the daily features under the champion head's scores.

    One dbt run for all that is asked for: each run parses the project anew. Unit tests run in `make test`, data tests
    here, as checks. A definition that nobody refers to any more is retired (docs/decisions/0091).
    """
    scorer = champion_scorer(registry)
    yield from _built(context, warehouse, {"scorer": scorer.scorer, "scorer_version": scorer.scorer_version})
    tended = tend(warehouse.url, registry)
    for what, names in (("retired", tended.retired), ("kept up again", tended.taken_up)):
        if names:
            context.log.info(f"definitions {what}: {', '.join(name[:12] for name in names)}")


def _built(context: dg.AssetExecutionContext, warehouse: Warehouse, variables: dict[str, str]) -> Iterator[Any]:
    dbt = DbtCliResource(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=dbt_executable())
    options = ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables, sort_keys=True)]
    os.environ.update(dbt_environment(warehouse.url))  # dbt is a child process and reads its profile from there
    try:
        for event in dbt.cli(options, context=context).stream():
            yield _counted(event, context, warehouse) if isinstance(event, dg.Output) else event
    except DagsterDbtCliRuntimeError as error:
        with warehouse.connection() as conn:  # a warehouse that is gone is the better reason
            conn.execute("select 1")
        raise BuildError(f"dbt build failed: {failure_in(str(error.description))}") from error


def _counted(output: dg.Output[Any], context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.Output[Any]:
    """Return the output with its table's row count. (The manifest names no database, so dagster-dbt cannot count.)"""
    key = context.assets_def.keys_by_output_name[output.output_name]
    with warehouse.connection() as conn:
        counted = conn.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(*key.path))).fetchone()
    return output.with_metadata({**output.metadata, "dagster/row_count": counted[0] if counted else 0})
