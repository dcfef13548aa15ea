"""Which address and port to listen on."""

from __future__ import annotations

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from protoexplain.errors import UserError

FIRST_PORT, LAST_PORT = 7860, 7959
BACKLOG = 128
"""Connections that wait while the app starts."""


def is_local(host: str) -> bool:
    """Whether only this computer reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def name_in(address: str) -> str:
    """Name of the computer in an address as ``//name:port``; empty where it has none or is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


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


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens already, so that nobody can take the port before the app answers.

    Args:
        host: An address of this computer.
        port: 0 takes any free port; None the first free one from 7860 on.

    Raises:
        UserError: The port is taken or not allowed, no port is free, or this computer has no such address.
    """
    for candidate in range(FIRST_PORT, LAST_PORT + 1) if port is None else [port]:
        try:
            return _listening(host, candidate)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UserError(
                    f"this computer cannot listen on the address '{host}': {error.strerror}",
                    "--host",
                    "give an address of this computer, as 127.0.0.1",
                ) from error
            taken = error
    if port is None:
        fix = "free one of them, give another port, or give --port 0 for any free one"
        raise UserError(f"all ports from {FIRST_PORT} to {LAST_PORT} are taken", "--port", fix) from taken
    reason = "is taken" if taken.errno == errno.EADDRINUSE else f"cannot be used: {taken.strerror}"
    fix = f"choose another one, --port 0 for any free one, or leave it out for the first free one from {FIRST_PORT} on"
    raise UserError(f"port {port} {reason}", "--port", fix) from taken


def _listening(host: str, port: int) -> socket.socket:
    """A socket whose port nobody else can have.

    With SO_REUSEADDR a port that is listened on is refused, but for Windows, which lets both have it; Windows, and
    Windows alone, knows SO_EXCLUSIVEADDRUSE.

    Raises:
        OSError: It cannot listen there.
    """
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        own.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)
        own.bind((host, port))
        own.listen(BACKLOG)
    except OSError:
        own.close()
        raise
    return own
