"""Tables as features: views, definitions, as-of joins, snapshots and news vectors."""

from feature_store.store import FeatureStore

__all__ = ["FeatureStore"]
