"""A run in the formats of others: ``vigil export``.

The folder is written beside its place and moved there when it is complete, so a folder
that exists is whole.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from acquisition.archive.reader import RunReader
from acquisition.errors import BadRun
from calibration.export_ctc import Naming, write_ctc
from calibration.second_look import revisions_of
from tracking.revisions.revised import RevisedNames

Write = Callable[[RunReader, Path, Naming], dict[str, int]]
"""Writes a run into an empty folder; gives what it wrote, by name."""

FORMATS: dict[str, Write] = {"ctc": write_ctc}
"""What a run can be exported to."""


def export_run(
    run_dir: Path, kind: str, output: Path, *, revised: bool = False
) -> dict[str, int]:
    """Export a run.

    Parameters
    ----------
    run_dir
        The run; one that was cut off is exported as far as it goes.
    kind
        One of `FORMATS`.
    output
        A new folder.
    revised
        Names after the revisions of the run, not as they were given at the time.

    Raises
    ------
    BadRun
        If the run cannot be read or lacks what the format needs, or the folder exists
        or cannot be written. Nothing half done is left.
    """
    if output.exists():
        raise BadRun(f"{output} exists already; name a new folder")
    part = output.with_name(output.name + ".part")
    with RunReader(run_dir) as run:
        names = RevisedNames(revisions_of(run) if revised else ())
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            written = FORMATS[kind](run, part, names)
            part.replace(output)
        except OSError as error:
            raise BadRun(
                f"{output} cannot be written ({error.strerror or error}); check the "
                "path, the permissions and the disk"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return written
