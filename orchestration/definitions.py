"""What Dagster loads: every asset, the jobs over them, their schedules, and the resources they are handed."""

import dagster as dg

from assets import evaluation, ingestion, paper, promotion, reports, sentiment, training, warehouse
from orchestration.jobs import JOBS, SCHEDULES
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
        training.training_set,
        training.trader_daily_baseline,
        training.trader_daily,
        evaluation.evaluation,
        promotion.promotion,
        paper.paper_sessions,
        paper.event_anchors,
        reports.main_job_report,
    ],
    jobs=JOBS,
    schedules=SCHEDULES,
    resources=resources(),
)
