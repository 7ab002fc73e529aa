"""Migrations: in order, once, whole or not at all."""

from pathlib import Path

import psycopg
import pytest

from infra.errors import MigrationError
from infra.postgres.migrate import FOLDER, migrate, pending

pytestmark = pytest.mark.engines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in FOLDER.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "9001_first.sql").write_text("create table public.first (id int); insert into public.first values (1);")
    (tmp_path / "9002_second.sql").write_text("insert into public.first values (2);")
    return tmp_path


def rows(url: str) -> list[int]:
    with psycopg.connect(url) as conn:
        return [number for (number,) in conn.execute("select id from public.first order by id")]


def test_files_are_applied_once_in_the_order_of_their_names(database_url: str, folder: Path):
    assert pending(database_url, folder) == ["9001_first", "9002_second"]
    assert migrate(database_url, folder) == ["9001_first", "9002_second"]
    assert migrate(database_url, folder) == []
    assert pending(database_url, folder) == []
    assert rows(database_url) == [1, 2]


def test_a_failing_file_leaves_nothing_of_itself_and_stops_there(database_url: str, folder: Path):
    (folder / "9002_second.sql").write_text("insert into public.first values (2); select 1 / 0;")
    (folder / "9003_third.sql").write_text("insert into public.first values (3);")
    with pytest.raises(MigrationError, match=r"9002_second\.sql failed and left nothing behind: division by zero"):
        migrate(database_url, folder)
    assert rows(database_url) == [1]
    assert pending(database_url, folder) == ["9002_second", "9003_third"]


def test_a_file_that_changed_after_it_was_applied_is_refused(database_url: str, folder: Path):
    migrate(database_url, folder)
    (folder / "9001_first.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=r"9001_first\.sql was changed after it was applied"):
        migrate(database_url, folder)


def test_a_database_of_a_later_release_is_refused(database_url: str, folder: Path):
    migrate(database_url, folder)
    (folder / "9002_second.sql").unlink()
    with pytest.raises(MigrationError, match="9002_second, which this checkout has not"):
        migrate(database_url, folder)


def test_a_server_that_is_gone_is_one_clear_line():
    with pytest.raises(MigrationError, match="tradeloom up"):
        migrate("postgresql://u:p@/x?host=/nowhere&port=1")
