"""The MLflow server on PostgreSQL and S3: what to run and what it must know.

Addresses with passwords go through the environment: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import sys

from infra.local.object_store import ObjectStoreSettings
from infra.local.postgres import sqlalchemy_url


def command(port: int, host: str = "127.0.0.1") -> list[str]:
    """Return the command that serves MLflow on this port."""
    return [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]


def environment(postgres_url: str, store: ObjectStoreSettings) -> dict[str, str]:
    """Return what the server alone must know; its clients reach artefacts through it and need no S3 keys."""
    return {
        "MLFLOW_BACKEND_STORE_URI": sqlalchemy_url(postgres_url, "mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{store.bucket}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Jobs (evaluation by language models) would start a queue's workers for nothing.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
