"""The leak gate in Dagster: a blocking check on the training set, over all that it rests on.

The judging lives in feature_store/leaks, the kept verdict too. A blocking check stops its own run only; so the learner
asks for the verdict itself (assets/training.py), and a run without this check judges there.
"""

from collections.abc import Iterator

import dagster as dg

from assets.scope import MarketScope
from assets.training import TRAINING_SET, prepare, verdict_of
from feature_store.leaks.gate import Verdict
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.errors import LeakError

NAME = "leaks"


@dg.multi_asset_check(name="training_set_leaks", specs=[dg.AssetCheckSpec(NAME, asset=TRAINING_SET, blocking=True)])
def training_set_leaks(
    scope: MarketScope, warehouse: dg.ResourceParam[Warehouse], payloads: dg.ResourceParam[ObjectStore]
) -> Iterator[dg.AssetCheckResult]:
    """Every feature, label, normalisation and adjusted series, without its future and with another one."""
    verdict = verdict_of(scope, warehouse, prepare(scope, warehouse, payloads))
    yield dg.AssetCheckResult(
        passed=verdict.passed, check_name=NAME, asset_key=TRAINING_SET, metadata=_metadata(verdict)
    )
    if not verdict.passed:  # a failed check alone would end the run without saying why
        raise dg.Failure(verdict.sentence(), allow_retries=False) from LeakError(verdict.sentence())


def _metadata(verdict: Verdict) -> dict[str, dg.MetadataValue]:
    lines = ["| definition | kind | columns | past rows | cuts | verdict |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one['name']} | {one['kind']} | {len(one['columns'])} | {one['rows']:,} | {one['moments']} "
        f"| {'no leak' if one['passed'] else one['findings'][0]['sentence']} |"
        for one in verdict.reports
    ]
    return {
        "summary": dg.MetadataValue.text(verdict.sentence()),
        "judged": dg.MetadataValue.md("\n".join(lines)),
        "definition": dg.MetadataValue.text(verdict.definition),
        "snapshot_id": dg.MetadataValue.text(verdict.snapshot_id),
        "judged_now": dg.MetadataValue.bool(verdict.is_new),
    }
