"""What Dagster loads: every asset, the jobs over them, their schedules, and the resources they are handed."""

import os

import dagster as dg

from assets import (
    charts,
    completeness,
    evaluation,
    ingestion,
    leaks,
    paper,
    parity,
    promotion,
    reports,
    sentiment,
    training,
    vendors,
    warehouse,
)
from orchestration.calendars import calendars_in_use
from orchestration.daily import daily_schedule
from orchestration.jobs import JOBS, WEEKLY, daily_update
from orchestration.maintenance import NIGHTLY, partitions_ahead, purge_event_log
from orchestration.resources import resources

defs = dg.Definitions(
    assets=[
        ingestion.price_vendor,
        ingestion.news_vendor,
        ingestion.prices,
        ingestion.corporate_actions,
        ingestion.news_items,
        sentiment.sentiment_head,
        sentiment.news_scores,
        warehouse.dbt_models,
        charts.chart_bars,
        training.training_set,
        training.trader_daily_baseline,
        training.trader_daily,
        evaluation.evaluation,
        promotion.promotion,
        paper.paper_sessions,
        paper.event_anchors,
        parity.parity,
        reports.main_job_report,
        *vendors.VENDOR_ASSETS,
    ],
    asset_checks=[completeness.reconciled, leaks.training_set_leaks],
    jobs=[*JOBS, purge_event_log, partitions_ahead],
    schedules=[
        *(daily_schedule(calendar, daily_update) for calendar in calendars_in_use(os.environ)),
        *WEEKLY,
        *NIGHTLY,
    ],
    sensors=[vendors.vendor_pools],
    resources=resources(),
)
