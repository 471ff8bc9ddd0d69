"""Bad input, given to the command line inside the process of the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.__main__ import main

Refusal = Callable[..., str]


@pytest.fixture
def refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refusal:
    """Give a function that runs a command in a folder and gives what it complains of.

    The exit code must be that of bad input. Traceback and a process's own exit code
    are looked at where a command runs in a process of its own.
    """
    monkeypatch.chdir(tmp_path)

    def refuse(*arguments: str) -> str:
        try:
            code = main(arguments)
        except SystemExit as end:  # how the parser refuses
            code = int(end.code or 0)
        said = capsys.readouterr().err
        assert code == 2, said
        return said

    return refuse
