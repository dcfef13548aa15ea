"""Which address and port to listen on."""

from __future__ import annotations

import ipaddress
import socket

from protoexplain.errors import UserError

FIRST_PORT, LAST_PORT = 7860, 7959


def is_local(host: str) -> bool:
    """Whether only this computer reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, login: bool) -> None:
    """Refuse to be reached by others without a login.

    Raises:
        UserError: They could.
    """
    if not login and not is_local(host):
        raise UserError(
            f"'{host}' can be reached by other computers, and the app has no login",
            "--host",
            "give --auth FILE with the users who may log in, or listen on 127.0.0.1",
        )


def free_port(host: str, port: int | None) -> int:
    """The port, or the first free one.

    Raises:
        UserError: There is none.
    """
    for candidate in [port] if port else range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    taken = f"port {port} is taken" if port else f"all ports from {FIRST_PORT} to {LAST_PORT} are taken"
    raise UserError(taken, "--port", "choose another one" + (", or leave it out" if port else ""))
