"""Ports: preferred, chosen around, remembered, promised."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import ports
from infra.local.home import Home


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Home]]:
    monkeypatch.setattr(ports, "PREFERRED", {"s3": 21333, "mlflow": 21500, "dagster": 21600})
    made = Home(tmp_path / "one"), Home(tmp_path / "two")
    for home in made:
        home.create()
    yield made
    for home in made:
        for name in ports.PREFERRED:
            ports.release(home, name)


def listening(port: int) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


def test_the_preferred_port_is_taken_if_free(homes: tuple[Home, Home]):
    assert ports.choose(homes[0], "mlflow") == 21500


def test_a_port_in_use_is_chosen_around(homes: tuple[Home, Home]):
    with listening(21500):
        assert ports.choose(homes[0], "mlflow") == 21501


def test_the_object_store_needs_its_whole_block_free(homes: tuple[Home, Home]):
    with listening(21335), listening(31337):
        assert ports.choose(homes[0], "s3") == 21341


def test_the_choice_is_remembered_while_it_is_free(homes: tuple[Home, Home]):
    with listening(21500):
        ports.choose(homes[0], "mlflow")
    assert ports.choose(homes[0], "mlflow") == 21501
    with listening(21501):
        assert ports.choose(homes[0], "mlflow") == 21500


def test_a_port_whose_socket_another_user_left_is_chosen_around(
    homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch
):
    left = Path("/tmp/seaweedfs-test-grpc-31334.sock")
    left.touch()
    try:
        assert ports.choose(homes[0], "s3") == 21333
        monkeypatch.setattr(ports.os, "geteuid", lambda: left.stat().st_uid + 1)
        assert ports._foreign_sockets(31334)
        monkeypatch.undo()
        assert ports.own_sockets(31334) == [left]
    finally:
        left.unlink()


def test_two_state_folders_that_look_at_once_get_different_ports(homes: tuple[Home, Home]):
    assert [ports.choose(home, "dagster") for home in homes] == [21600, 21601]
    ports.release(homes[0], "dagster")
    assert ports.choose(homes[0], "dagster") == 21600
