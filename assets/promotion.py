"""The only place where `champion` moves by itself: on the gate's verdict, recorded before the alias is touched."""

import dagster as dg

from assets.evaluation import EVALUATION, verdict_on
from assets.training import CHALLENGER, CHAMPION, SLOT
from trading.adapters.postgres import Warehouse
from trading.adapters.promotions import Promotion, align_alias, promotions, record_promotion
from trading.adapters.registry import ModelRegistry
from trading.evaluation.verdicts import Judged

GROUP = "promotion"
PROMOTIONS = dg.AssetKey(["trading", "promotions"])


@dg.asset(key=PROMOTIONS, deps=[EVALUATION], group_name=GROUP, kinds={"mlflow", "postgres"})
def promotion(
    warehouse: dg.ResourceParam[Warehouse], registry: dg.ResourceParam[ModelRegistry]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Move `champion` to the challenger if the gate said so; keep the verdict either way, once."""
    champion, challenger = registry.alias(SLOT, CHAMPION), registry.alias(SLOT, CHALLENGER)
    judged = None if champion == challenger else verdict_on(registry, champion, challenger)
    if judged is not None:
        _record_once(warehouse, judged)
    with warehouse.connection() as conn:
        stands = align_alias(conn, registry, SLOT, CHAMPION)
        ledger = promotions(conn, SLOT, CHAMPION)
    return dg.MaterializeResult(
        metadata={
            "champion": stands or "-",
            "challenger": challenger,
            "verdict": ledger[0].verdict if ledger else "-",
            "reason": ledger[0].reason if ledger else "-",
            "dagster/row_count": len(ledger),
        }
    )


def _record_once(warehouse: Warehouse, judged: Judged) -> None:
    with warehouse.connection() as conn:
        for earlier in promotions(conn, SLOT, CHAMPION):
            if (earlier.from_version, earlier.to_version) == (judged.champion, judged.challenger):
                return
        record_promotion(
            conn,
            Promotion(
                SLOT,
                CHAMPION,
                judged.champion,
                judged.challenger,
                "promoted" if judged.promoted else "refused",
                "; ".join(judged.reasons) or "every check of the gate passed",
                {"metrics": judged.metrics},
            ),
        )
