"""One schedule per exchange calendar in use: a run after the close of each session, and none where there was no session.

It looks every half hour of UTC, so daylight saving and half days need no rule of their own: the session's closing time
comes from its calendar. A session has one run, and a daemon that was off catches up with the newest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg
import psycopg

from assets.ingestion import PRICE_BARS, SESSION_QUALITY
from assets.paper import ANCHORS
from assets.parity import PARITY
from assets.sentiment import CHAMPION, HEAD, HEAD_KEY
from assets.vendor_keys import vendor_key
from assets.warehouse import FEATURES_GROUP, WAREHOUSE_GROUP
from orchestration.main_job import FIRST_KEY, LAST_KEY
from trading.adapters.followed import Followed, followed, instrument_calendars
from trading.adapters.postgres import Warehouse
from trading.adapters.promotions import newest_promotion
from trading.calendar import Session
from trading.closed_sessions import last_settled

HALF_HOURS = "5,35 * * * *"
# The longest lag that a vendor of prices declares is 20 minutes.
SETTLING = timedelta(minutes=30)
# What was corrected within a week is found; what was missed while nobody looked comes with it.
LOOK_BACK = timedelta(days=7)
FOLLOWED_FOR = timedelta(days=31)
SESSION_TAG = "tradeloom/session"

_AFTER_INGESTION = dg.AssetSelection.groups(WAREHOUSE_GROUP, FEATURES_GROUP) | dg.AssetSelection.assets(ANCHORS, PARITY)


def has_sentiment_head(conn: psycopg.Connection) -> bool:
    """Tell whether there is a head to score news with, which features read: where `main` never ran, the first run makes it."""
    return newest_promotion(conn, HEAD, CHAMPION) is not None


def schedule_name(calendar: str) -> str:
    """Return the name of a calendar's schedule, such as `daily_update__XNYS` and `daily_update__24_7`."""
    return f"daily_update__{re.sub(r'[^A-Za-z0-9]', '_', calendar)}"


def daily_schedule(calendar: str, job: Any) -> dg.ScheduleDefinition:
    """Return the schedule of a calendar; off until somebody switches it on."""

    @dg.schedule(
        name=schedule_name(calendar),
        job=job,
        cron_schedule=HALF_HOURS,
        execution_timezone="UTC",
        description=f"After the close of each session of {calendar}: what vendors were asked for lately is kept up.",
    )
    def after_the_close(
        context: dg.ScheduleEvaluationContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        moment = context.scheduled_execution_time.astimezone(UTC)
        session = last_settled(calendar, moment, SETTLING)
        if session is None:
            yield dg.SkipReason(f"{calendar}: no session closed in the last three weeks")
            return
        label = f"{calendar} {session.session_date}"
        if context.instance.get_runs_count(dg.RunsFilter(tags={SESSION_TAG: label})):
            yield dg.SkipReason(f"{label} has its run")
            return
        with warehouse.connection() as conn:
            is_in_use = calendar in instrument_calendars(conn)
            series = followed(conn, calendar, moment - FOLLOWED_FOR)
            first = () if has_sentiment_head(conn) else (HEAD_KEY,)
        if not is_in_use:
            yield dg.SkipReason(f"no instrument trades on {calendar}")
            return
        graph = context.repository_def.asset_graph
        after = [*first, *sorted(_AFTER_INGESTION.resolve(graph))]
        if not series:
            yield _without_vendor(label, session, after)
        for one in series:
            yield _of_vendor(label, session, calendar, one, after)

    return after_the_close


def _without_vendor(label: str, session: Session, after: list[dg.AssetKey]) -> dg.RunRequest:
    """Nobody is asked: what is there is made into features, anchored and measured."""
    return dg.RunRequest(run_key=label, asset_selection=after, tags=_tags(label, session.session_date))


def _of_vendor(
    label: str, session: Session, calendar: str, series: Followed, after: list[dg.AssetKey]
) -> dg.RunRequest:
    name, _, variant = series.source.partition(":")
    since = session.session_date - LOOK_BACK
    asked = {"interval": series.interval, "variant": variant, "calendar": calendar, "mode": "live", "since": f"{since}"}
    keys = {vendor_key(name, kind): symbols for kind, symbols in series.symbols.items()}
    scope = {"source": series.source, "interval": series.interval, "calendar": calendar}
    return dg.RunRequest(
        run_key=f"{label} {series.source} {series.interval}",
        asset_selection=[*keys, PRICE_BARS, SESSION_QUALITY, *after],
        run_config={
            "ops": {
                key.to_python_identifier(): {"config": {**asked, "symbols": symbols}} for key, symbols in keys.items()
            },
            "resources": {"scope": {"config": scope}},
        },
        tags=_tags(label, since, session.session_date),
    )


def _tags(label: str, first: date, last: date | None = None) -> dict[str, str]:
    months = {FIRST_KEY: f"{first:%Y-%m}-01", LAST_KEY: f"{last or first:%Y-%m}-01"}
    return {SESSION_TAG: label, **months}
