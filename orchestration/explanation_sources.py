"""Where `explain` and `replay` read: the engines in force, put together for serving/explanation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra.local.endpoints import Endpoints
from serving.explanation.replay import Sources


@contextmanager
def explanation_sources(on_progress: Callable[[str], None]) -> Iterator[Sources]:
    """Yield the sources of the engines that run, on one read-only connection.

    Raises:
        NotRunningError: an engine does not run here and no setting names one.
    """
    from feature_store.store import FeatureStore
    from trading.adapters.object_store import ObjectStore
    from trading.adapters.postgres import connection
    from trading.adapters.registry import ModelRegistry

    found = Endpoints.resolve(os.environ)
    objects = ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)
    registry = ModelRegistry(found.mlflow_url)
    features = FeatureStore(found.postgres_url)
    with connection(found.postgres_url, application="tradeloom-explain") as conn:
        conn.read_only = True
        try:
            yield Sources(conn, features, objects, registry, on_progress)
        finally:
            features.close()
