"""The engines that tests are given: fresh, apart from each other, closed to those without credentials."""

from __future__ import annotations

import io

import minio
import psycopg
import pytest
from minio.error import S3Error

from infra.local.http import http_problem
from infra.local.object_store import ObjectStoreSettings, minio_client
from infra.local.postgres import database_url as url_of
from infra.local.postgres import query_problem

pytestmark = pytest.mark.engines


def test_each_test_gets_a_database_of_its_own_with_all_migrations(database_url: str, postgres_url: str) -> None:
    count = "select count(*) from raw.watermarks where purpose = 'test'"
    with psycopg.connect(database_url) as conn:
        conn.execute("select raw.take_watermark('test')")
        assert conn.execute(count).fetchone() == (1,)
    with psycopg.connect(postgres_url) as conn:
        assert conn.execute(count).fetchone() == (0,)


def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    password = postgres_url.split("://tradeloom:")[1].split("@")[0]
    assert query_problem(postgres_url) is None
    assert "password authentication failed" in str(query_problem(postgres_url.replace(password, "wrong")))
    assert query_problem(postgres_url.replace(f":{password}", "")) is not None


def test_a_database_of_the_same_server_is_named_by_swapping_the_path(postgres_url: str) -> None:
    assert query_problem(url_of(postgres_url, "dagster")) is None
    assert query_problem(url_of(postgres_url, "mlflow")) is None


def test_the_object_store_keeps_what_it_took(object_store_settings: ObjectStoreSettings) -> None:
    client = minio_client(object_store_settings)
    client.put_object("tradeloom", "a/b", io.BytesIO(b"bytes"), 5)
    answer = client.get_object("tradeloom", "a/b")
    assert answer.read() == b"bytes"
    answer.close()


@pytest.mark.parametrize("keys", [{}, {"access_key": "A" * 24, "secret_key": "B" * 24}])
def test_the_object_store_refuses_strangers(object_store_settings: ObjectStoreSettings, keys: dict[str, str]) -> None:
    host = object_store_settings.endpoint.removeprefix("http://")
    stranger = minio.Minio(host, secure=False, region="us-east-1", **keys)
    with pytest.raises(S3Error, match=r"AccessDenied|InvalidAccessKeyId"):
        stranger.put_object("tradeloom", "stolen", io.BytesIO(b"x"), 1)
    with pytest.raises(S3Error, match=r"AccessDenied|InvalidAccessKeyId"):
        list(stranger.list_objects("tradeloom"))


@pytest.mark.long
def test_mlflow_answers(mlflow_url: str) -> None:
    assert http_problem(f"{mlflow_url}/health") is None
