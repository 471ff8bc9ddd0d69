"""Experiment files: presets load, faults are named all at once."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs import SHIPPED, load_experiment
from configs.faults import BadConfig
from configs.loading import check_experiment, dump_experiment


@dataclass(frozen=True)
class Case:
    """A wrong setting and what the message must name."""

    name: str
    override: str
    expected: str


WRONG = [
    Case("negative speed", "run.speed=-1", "run.speed: Input should be greater than 0"),
    Case("unknown section", "foo.bar=1", "foo: unknown key"),
    Case("unknown key", "tracking.gate=3", "tracking.gate: unknown key"),
    Case("unknown time-lapse key", "timelapse.zap=1", "timelapse: unknown key zap"),
    Case("wrong kind", "microscope.kind=abc", "'simulated', 'sequence' or"),
    Case("odd size", "simulated.size_px=1000", "simulated.size_px: "),
    Case("wrong type", 'run.seed="many"', "(given: 'many')"),
    Case("path in the name", 'run.name="../out"', "run.name: "),
    Case("unknown trigger", 'triggers=[{event="birth"}]', "triggers.0.event: "),
    Case("no value", "run.speed", "write section.key=value"),
    Case("tiny frame", "simulated.size_px=32", "simulated.size_px: "),
    Case("huge frame", "simulated.size_px=1000000", "simulated.size_px: "),
    Case("negative seed", "run.seed=-1", "run.seed: "),
    Case("seed beyond 31 bits", "run.seed=2147483648", "run.seed: "),
    Case("broken seed", "run.seed=1.5", "run.seed: "),
    Case("unknown fault", 'simulated.faults={"3"="fire"}', "simulated.faults.3: "),
    Case("fault before 0", 'simulated.faults={"-3"="torn"}', "simulated.faults.-3"),
    Case("unknown channel", 'microscope.channel="Cy9"', "no channel 'Cy9' (SLIM, "),
    Case(
        "channel of another modality",
        'microscope.channel="NucBlue"',
        "channel 'NucBlue' shows fluorescence, but modality is 'slim'",
    ),
    Case(
        "channel that shows something else",
        'microscope.channels={NucBlue="slim"}',
        "channel NucBlue of the simulated stand shows fluorescence",
    ),
    Case("below a value", "run.speed.fast=1", "speed is not a section"),
]


@pytest.mark.parametrize("preset", sorted(p.stem for p in SHIPPED.glob("*.toml")))
def test_every_preset_survives_being_written_out(preset: str) -> None:
    """A run stores its settings as TOML from which the same settings come back."""
    experiment = load_experiment(preset)

    back = check_experiment(tomllib.loads(dump_experiment(experiment)), "stored")

    assert back == experiment


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_wrong_setting_is_named_with_its_path(case: Case) -> None:
    """The message holds the full path, the value and what is allowed."""
    with pytest.raises(BadConfig) as caught:
        load_experiment("demo", [case.override])

    assert case.expected in str(caught.value)


def test_all_faults_come_at_once() -> None:
    """Three wrong settings give three lines, not one after the other."""
    with pytest.raises(BadConfig) as caught:
        load_experiment("demo", ["run.speed=-1", "foo.bar=1", "log.every=0"])

    assert len(caught.value.faults) == 3


def test_a_preset_is_found_by_its_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``configs/demo.toml`` falls back to the shipped file in an empty folder."""
    monkeypatch.chdir(tmp_path)

    experiment = load_experiment("configs/demo.toml")

    assert experiment.run.name == "demo"


def test_a_missing_file_lists_the_presets() -> None:
    """A misspelt preset is answered with the names that exist."""
    with pytest.raises(BadConfig, match=r"demo, micromanager, replay"):
        load_experiment("nowhere/demmo.toml")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """Garbage in the file is one clear sentence."""
    path = tmp_path / "broken.toml"
    path.write_bytes(b"\xff\x00[[[")

    with pytest.raises(BadConfig, match="not a readable TOML file"):
        load_experiment(str(path))


def test_a_real_microscope_cannot_run_on_a_scaled_clock() -> None:
    """Time cannot be made to run faster for real cells."""
    with pytest.raises(BadConfig, match="must be"):
        load_experiment("micromanager", ["run.clock=scaled"])
