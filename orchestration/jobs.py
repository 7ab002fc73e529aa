"""The jobs that people and schedules launch, as selections of the one asset graph.

`main` runs all of it, from files to the report. `daily_update` brings in what vendors have new and what follows from
it, anchors the ledgers and measures parity: after the close of each exchange (orchestration/daily.py), of what each
schedule selects; the sentiment head that features read is among it where nobody made one yet. `weekly_retraining`
learns, judges and lets the gate decide; `full_parity` computes again all that was ever served. Times are UTC.
"""

import dagster as dg

from assets.evaluation import EVALUATION
from assets.ingestion import CORPORATE_ACTIONS, NEWS_ITEMS, PRICE_BARS, SESSION_QUALITY
from assets.paper import ANCHORS
from assets.parity import PARITY
from assets.promotion import PROMOTIONS
from assets.sentiment import EMBEDDINGS_KEY, HEAD_KEY, SCORES_KEY
from assets.training import BASELINE, LEARNER, TRAINING_SET
from assets.vendors import GROUP as VENDORS_GROUP
from assets.warehouse import FEATURES_GROUP, WAREHOUSE_GROUP

_INGESTION = dg.AssetSelection.assets(PRICE_BARS, SESSION_QUALITY, CORPORATE_ACTIONS, NEWS_ITEMS)
_TRAINING = dg.AssetSelection.assets(HEAD_KEY, TRAINING_SET, BASELINE, LEARNER, EVALUATION, PROMOTIONS)
_DERIVED = dg.AssetSelection.groups(WAREHOUSE_GROUP, FEATURES_GROUP)

# What a vendor is asked for is named at launch; `main` works on what is there.
main = dg.define_asset_job(
    "main",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups(VENDORS_GROUP),
    executor_def=dg.in_process_executor,
)
daily_update = dg.define_asset_job(
    "daily_update",
    selection=_INGESTION
    | _DERIVED
    | dg.AssetSelection.groups(VENDORS_GROUP)
    | dg.AssetSelection.assets(HEAD_KEY, ANCHORS, PARITY),
    executor_def=dg.in_process_executor,
)
weekly_retraining = dg.define_asset_job(
    "weekly_retraining",
    selection=_TRAINING
    | dg.AssetSelection.assets(EMBEDDINGS_KEY, SCORES_KEY)
    | dg.AssetSelection.groups(FEATURES_GROUP),
    executor_def=dg.in_process_executor,
)
# Daily, parity asks for what is new; once a week it asks for everything, so that what was tampered with later is found.
full_parity = dg.define_asset_job(
    "full_parity",
    selection=dg.AssetSelection.assets(PARITY),
    config={"ops": {PARITY.to_python_identifier(): {"config": {"full": True}}}},
    executor_def=dg.in_process_executor,
)


every_week = dg.ScheduleDefinition(
    name="weekly_retraining", job=weekly_retraining, cron_schedule="0 6 * * 6", execution_timezone="UTC"
)

every_sunday = dg.ScheduleDefinition(
    name="full_parity", job=full_parity, cron_schedule="0 6 * * 0", execution_timezone="UTC"
)

JOBS = [main, daily_update, weekly_retraining, full_parity]
WEEKLY = [every_week, every_sunday]
