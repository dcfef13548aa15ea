"""Commands without a process of their own."""

import sys

import pytest

from protoexplain.cli.main import main


@pytest.fixture
def cli(monkeypatch, capsys):
    """Call the command as the console script does, in this process: (exit code, output, errors)."""
    monkeypatch.setattr("signal.signal", lambda *handler: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["protoexplain", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return call
