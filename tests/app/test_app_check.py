"""What ``vigil check`` says about this PC."""

import os
from pathlib import Path, PosixPath

import pytest

from acquisition.errors import BadRun
from app.check import check_machine, check_package_owners
from app.preflight import nearest_folder
from tests.app.live_runs import result_of, vigil

TOPICS = [
    "python",
    "packages",
    "processor",
    "graphics card",
    "engine",
    "model",
    "micro-manager",
    "screen",
    "disk",
]


def test_this_machine_is_ready(tmp_path: Path) -> None:
    """Every topic is looked at, and where the tests run nothing is at fault."""
    done = vigil("check", "--json", folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    result = result_of(done)
    assert result["ready"] is True
    assert [finding["topic"] for finding in result["findings"]] == TOPICS
    assert not list(tmp_path.iterdir())


def install(folder: Path, name: str, package: str) -> None:
    """Leave what an installer leaves of a distribution with one package."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (info / "METADATA").write_text(header)
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n")


def test_a_foreign_owner_of_our_folders_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another distribution with a package of our name is a fault, with its cure."""
    install(tmp_path, "stranger", "tracking")
    monkeypatch.syspath_prepend(tmp_path)

    finding = check_package_owners()

    assert finding.level == "fault"
    assert "'tracking' belongs to stranger" in finding.text
    assert "pip uninstall stranger" in finding.text


def test_a_foreign_package_of_another_name_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only our own folders count."""
    install(tmp_path, "stranger", "strange_package")
    monkeypatch.syspath_prepend(tmp_path)

    assert check_package_owners().level == "ok"


def test_a_folder_that_is_to_be_made_stands_for_its_parent(tmp_path: Path) -> None:
    """The first parent that exists tells the disk."""
    assert nearest_folder(tmp_path / "a" / "b") == tmp_path.resolve()


class Unplugged(PosixPath):
    """A path on a drive that is not there."""

    def exists(self) -> bool:
        """Find nothing, not even the root."""
        return False


@pytest.mark.skipif(os.name == "nt", reason="builds paths of the other kind")
def test_a_missing_drive_is_said_and_not_waited_for() -> None:
    """When not even the root exists the search ends with a clear error."""
    with pytest.raises(BadRun, match="there is no drive"):
        nearest_folder(Unplugged("/runs/today"))


def test_a_disk_on_which_nothing_can_be_made_is_a_fault(tmp_path: Path) -> None:
    """Whoever plans a run there learns it before the run, with what to do."""
    (tmp_path / "file").write_text("")

    findings = {f.topic: f for f in check_machine(tmp_path / "file" / "runs")}

    assert findings["disk"].level == "fault"
    assert "--output" in findings["disk"].text
