"""The root of the error tree and the fault of an experiment file.

They stand at the bottom layer because the settings are read before anything else;
the whole tree is drawn in ``acquisition/errors.py``.
"""


class VigilError(Exception):
    """Root of all errors raised on purpose."""


class BadInput(VigilError):
    """Something the user gave cannot be used; nothing has moved."""


class BadConfig(BadInput):
    """The experiment file is wrong: every fault at once, with full paths."""

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = faults
        count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
        super().__init__("\n  ".join([f"{source}: {count}", *faults]))
