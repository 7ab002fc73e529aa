"""The measuring of parity as assets see it: where `assets` and `serving`, which do not know each other, are put together."""

from contextlib import closing
from dataclasses import dataclass
from functools import partial

from assets.parity import ParityOutcome
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry


@dataclass(frozen=True)
class OfflineParity:
    """Satisfies `assets.parity.ParityMeter` with the checks that explanations and replays use."""

    warehouse: Warehouse
    registry: ModelRegistry

    def measure(self, *, full: bool, trace_id: str) -> ParityOutcome:
        """Compute again what was served."""
        from feature_store.store import FeatureStore
        from serving.explanation.analyst_answering import ask_analyst
        from serving.explanation.findings import Cause
        from serving.explanation.parity import Sources, measure
        from serving.explanation.score_answering import ask_scores

        engines = {"TRADELOOM_POSTGRES_URL": self.warehouse.url, "TRADELOOM_MLFLOW_URL": self.registry.tracking_uri}
        with closing(FeatureStore(self.warehouse.url)) as features:
            sources = Sources(
                self.warehouse.connection,
                features,
                self.registry,
                ask_analyst=partial(ask_analyst, settings=engines),
                ask_scores=partial(ask_scores, settings=engines),
            )
            found = measure(sources, full=full, trace_id=trace_id)
        return ParityOutcome(
            parity_id=found.parity_id,
            mode=found.mode,
            checked=found.checked,
            identical=found.identical,
            elsewhere=found.elsewhere,
            differing=found.differing,
            served_in_all=found.served_in_all,
            identical_in_all=found.identical_in_all,
            kinds=found.kinds,
            causes=found.causes,
            first_difference=found.first_difference,
            is_excused=set(found.causes) <= {str(Cause.ENVIRONMENT_DIFFERS)},
            seconds=found.seconds,
        )
