"""Addresses and ports: which one is taken, what is told where it cannot be, and that nobody else gets it."""

from __future__ import annotations

import socket

import pytest

from protoexplain.errors import UserError
from protoexplain_app import network
from protoexplain_app.network import listen

HOST = "127.0.0.1"


@pytest.fixture
def taken():
    """A port that something else listens on."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        yield holder.getsockname()[1]


def port_of(door):
    with door:
        return door.getsockname()[1]


def test_a_port_that_was_asked_for_is_taken_or_nothing(taken):
    with pytest.raises(UserError, match=f"port {taken} is taken") as refused:
        listen(HOST, taken)
    assert "--port 0" in refused.value.fix
    free = port_of(listen(HOST, 0))
    assert port_of(listen(HOST, free)) == free


def test_without_a_wish_the_next_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(network, "FIRST_PORT", taken)
    monkeypatch.setattr(network, "LAST_PORT", taken + 50)
    assert taken < port_of(listen(HOST, None)) <= taken + 50
    monkeypatch.setattr(network, "LAST_PORT", taken)
    with pytest.raises(UserError, match="all ports from") as refused:
        listen(HOST, None)
    assert "--port 0" in refused.value.fix


def test_nobody_can_have_the_port_before_the_app_answers():
    with listen(HOST, 0) as door:
        port = door.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is taken"):
            listen(HOST, port)
        with socket.create_connection((HOST, port), timeout=5):
            pass


def test_ports_and_addresses_that_are_not_ours_are_told(monkeypatch):
    with pytest.raises(UserError, match=r"cannot listen on the address '203\.0\.113\.7'") as refused:
        listen("203.0.113.7", 0)
    assert refused.value.where == "--host"

    def forbidden(host, port):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(network, "_listening", forbidden)
    with pytest.raises(UserError, match="port 80 cannot be used: Permission denied"):
        listen(HOST, 80)


def test_on_windows_the_port_is_exclusive(monkeypatch):
    options = []

    class Recorded(socket.socket):
        def setsockopt(self, *option):
            options.append(option)

    monkeypatch.setattr(socket, "socket", Recorded)
    listen(HOST, 0).close()
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    listen(HOST, 0).close()
    assert options == [(socket.SOL_SOCKET, option, 1) for option in (socket.SO_REUSEADDR, -5)]
