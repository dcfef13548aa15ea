"""Starting the app: only on this computer, and a clear word where that cannot be."""

from __future__ import annotations

import socket

import pytest

from app.server import serve
from protoexplain.errors import UserError


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])  # noqa: S104
def test_addresses_that_others_can_reach_are_refused(folder, host):
    with pytest.raises(UserError, match="other computers"):
        serve(folder, None, host, None)


def test_a_taken_port_is_told(folder):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(UserError, match="is taken"):
            serve(folder, None, "127.0.0.1", holder.getsockname()[1])


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        serve(tmp_path / "nothing", None, "127.0.0.1", None)
