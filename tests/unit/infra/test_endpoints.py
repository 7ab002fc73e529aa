"""Which engine is meant: the environment first, then what runs here, else one line."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.errors import NotRunningError
from infra.local.endpoints import Endpoints
from infra.local.home import Home
from infra.local.processes import Identity, Record, this_process
from infra.local.status import service_states


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"TRADELOOM_HOME": str(tmp_path), **more}


def test_an_address_from_outside_is_used_as_it_is(tmp_path: Path):
    endpoints = Endpoints.resolve(environ(tmp_path, TRADELOOM_POSTGRES_URL="postgresql://u:p@db.example/x"))
    assert endpoints.postgres_url == "postgresql://u:p@db.example/x"


@pytest.mark.parametrize("name", ["TRADELOOM_POSTGRES_URL", "TRADELOOM_POSTGRES_READ_URL"])
def test_what_is_no_address_is_refused_without_repeating_its_password(tmp_path: Path, name: str):
    with pytest.raises(NotRunningError, match=f"expected {name} to be a URL") as refused:
        Endpoints.resolve(environ(tmp_path, **{name: "db.example secret tradeloom"}))
    assert "secret" not in str(refused.value)


def test_the_words_of_libpq_are_taken_as_the_url_that_they_say(tmp_path: Path):
    words = "host=/run/pg port=5433 user=me password='a b@/:' dbname=tradeloom sslmode=require"
    found = Endpoints.resolve(environ(tmp_path, TRADELOOM_POSTGRES_URL=words))
    assert found.postgres_url == (
        "postgresql://me:a%20b%40%2F%3A@/tradeloom?host=%2Frun%2Fpg&port=5433&sslmode=require"
    )
    assert conninfo_to_dict(found.postgres_url) == conninfo_to_dict(words)
    assert found.environment()["TRADELOOM_DAGSTER_POSTGRES_URL"].startswith(
        "postgresql+psycopg2://me:a%20b%40%2F%3A@/dagster?"
    )


def test_a_missing_one_names_the_way_out(tmp_path: Path):
    with pytest.raises(NotRunningError, match=r"tradeloom up.*TRADELOOM_ORACLE_URL"):
        _ = Endpoints.resolve(environ(tmp_path)).oracle_url


def test_an_object_store_from_outside_needs_its_keys(tmp_path: Path):
    endpoints = Endpoints.resolve(environ(tmp_path, TRADELOOM_S3_ENDPOINT="http://s3.example"))
    with pytest.raises(NotRunningError, match="TRADELOOM_S3_ACCESS_KEY beside"):
        _ = endpoints.object_store


def test_only_a_living_process_gives_an_address(tmp_path: Path):
    home = Home(tmp_path)
    home.create()
    dead = Identity(this_process().pid, "an earlier start")
    Record("mlflow", dead, dead, "", "http://127.0.0.1:1").write(home.run)
    Record("oracle", this_process(), this_process(), "", "http://127.0.0.1:2").write(home.run)
    endpoints = Endpoints.resolve(environ(tmp_path))
    assert endpoints.oracle_url == "http://127.0.0.1:2"
    with pytest.raises(NotRunningError):
        _ = endpoints.mlflow_url


def test_children_get_everything_they_read(tmp_path: Path):
    found = Endpoints.resolve(
        environ(
            tmp_path,
            TRADELOOM_POSTGRES_URL="postgresql://u:p@/tradeloom?host=/s&port=5432",
            TRADELOOM_MLFLOW_URL="http://127.0.0.1:5000",
        )
    ).environment()
    assert found["TRADELOOM_DAGSTER_POSTGRES_URL"] == "postgresql+psycopg2://u:p@/dagster?host=/s&port=5432"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert found["DAGSTER_HOME"] == f"{tmp_path}/dagster"
    assert found["NO_PROXY"] == "127.0.0.1,localhost"


def test_status_tells_the_truth_of_what_answers_nobody(tmp_path: Path):
    url = "postgresql://u:secret@127.0.0.1:1/x"
    states = {state.name: state for state in service_states(environ(tmp_path, TRADELOOM_POSTGRES_URL=url))}
    assert states["postgres"].external
    assert not states["postgres"].healthy
    assert states["postgres"].url == "postgresql://u@127.0.0.1:1/x"
    assert states["mlflow"].detail == "not running"
