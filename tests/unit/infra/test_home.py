"""The state folder: private, its own, and usable wherever it lies."""

import os
import stat
from pathlib import Path

import pytest

from infra.errors import HomeError
from infra.local import postgres_files as files
from infra.local.home import CHECKOUT, LONGEST_SOCKET_PATH, Home, write_private
from infra.local.processes import RunAs


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def test_the_folder_is_in_the_checkout_unless_named(tmp_path: Path):
    assert Home.resolve({}).path == CHECKOUT / ".tradeloom"
    assert Home.resolve({"TRADELOOM_HOME": str(tmp_path)}).path == tmp_path.resolve()


def test_secrets_are_made_once_and_only_we_may_read_them(home: Home):
    first = home.secrets()
    assert home.secrets() == first
    assert stat.S_IMODE((home.path / "secrets.json").stat().st_mode) == 0o600
    assert len(first.s3_access_key) >= 20
    assert len(first.postgres_password) >= 20


def test_nobody_else_may_list_the_folder(home: Home):
    assert stat.S_IMODE(home.path.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE(home.run.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.logs.stat().st_mode) == 0o700


def test_a_folder_with_other_files_is_refused_and_left_as_it_was(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o750)
    with pytest.raises(HomeError, match="found other files"):
        Home(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="set TRADELOOM_HOME"):
        Home(tmp_path / "file" / "home").create()


def test_damaged_secrets_are_refused_not_made_anew(home: Home):
    (home.path / "secrets.json").write_text("{}")
    with pytest.raises(HomeError, match=r"secrets\.json"):
        home.secrets()


def test_a_path_too_long_for_a_socket_gets_a_short_folder_of_its_own():
    deep = Home(Path("/" + "a" * 60 + "/" + "b" * 60))
    other = Home(Path("/" + "a" * 60 + "/" + "c" * 60))
    folder = deep.socket_folder("postgres-socket", 20)
    assert len(os.fsencode(folder)) + 21 <= LONGEST_SOCKET_PATH
    assert folder != other.socket_folder("postgres-socket", 20)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    write_private(tmp_path / "file", "first")
    with pytest.raises(TypeError):
        write_private(tmp_path / "file", 7)  # type: ignore[arg-type]
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path):
    (tmp_path / "socket").mkdir(mode=0o777)
    (tmp_path / "socket").chmod(0o777)
    with pytest.raises(HomeError, match="private folder"):
        files.own_folder(tmp_path / "socket", RunAs(os.geteuid(), os.getegid()))


def test_a_link_in_place_of_the_socket_folder_is_refused(tmp_path: Path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "socket").symlink_to(tmp_path / "real")
    with pytest.raises(HomeError, match="private folder"):
        files.own_folder(tmp_path / "socket", RunAs(os.geteuid(), os.getegid()))


def test_who_can_pass_is_decided_by_every_folder_above(tmp_path: Path):
    stranger = RunAs(54321, 54321)
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not files.can_pass(inner, stranger)
    assert files.can_pass(Path("/usr"), stranger)
