"""``vigil replay``: a recorded run goes through the analysis again, into a new run.

The frames whose pixels were kept are analysed in their order, by the settings of the
run or by others, while time stands still. Nothing is asked of any microscope.
"""

import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.archive.compare import compare_runs, engines_of
from acquisition.archive.directory import create_exact_directory, create_run_directory
from acquisition.archive.reader import RunReader
from acquisition.archive.schema import TRUTH, RunFacts
from acquisition.archive.writer import RunWriter
from acquisition.errors import BadConfig, BadRun, RunFailed
from acquisition.recorder import software
from acquisition.records import Analysed, Frame, FrameInfo, Skip
from acquisition.runner import Analyse, attempt
from app.analysis import NAMES_PER_START, build_analysis
from app.preflight import check_replay
from app.simulate import Tasks, interruptible, progress_bar
from app.summary import summarise
from configs.loading import dump_experiment, load_experiment
from configs.models import naming, with_model
from configs.schema import AUTO, Experiment

ANALYSIS = ("stand", "inference", "tracking", "forecast", "events", "triggers")
"""Sections that decide what an analysis says."""
CHANGEABLE = (*ANALYSIS, "log")
"""All else was settled when the frames were taken."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be analysed again, and how."""

    run: Path
    output: Path | None = None  # None: a new folder in that of the runs
    overrides: tuple[str, ...] = ()  # section.key=value
    everything: bool = False  # also frames that the run had no time for


def replay(wish: Wish) -> dict[str, Any]:
    """Analyse a run again; the result has the keys of ``vigil replay --json``.

    Raises
    ------
    BadInput
        If the run cannot be read or kept no pixels, or a setting cannot be changed now.
    RunFailed
        If not one of the frames that were to be analysed could be.
    """
    with RunReader(wish.run) as old:
        experiment, changed = _settings(old, wish.overrides)
        experiment = _with_its_model(old, experiment, wish.overrides)
        parent = wish.output or Path(experiment.run.directory)
        _check(old, experiment, parent)
        facts = old.facts
        still = experiment.run.model_copy(update={"clock": "stepped"})
        experiment = experiment.model_copy(update={"run": still})
        analyse, notes = build_analysis(
            experiment, facts.shape[1:], facts.pixel_size_um
        )
        directory = _new_directory(wish, experiment)
        state = _record(old, analyse, directory, experiment, wish)
        with RunReader(directory) as new:
            if state == "ended":
                _check_any_analysed(old, new, wish.everything)
            verdict = _compare(old, new, changed, wish.everything)
    result = {"run_dir": str(directory), "replay_of": str(wish.run), "state": state}
    return {**result, **verdict, **summarise(directory), "notes": list(notes)}


def _settings(
    old: RunReader, overrides: tuple[str, ...]
) -> tuple[Experiment, list[str]]:
    """Give the settings of the replay, and the sections that say something new."""
    config = str(old.directory / "config.toml")
    before, after = load_experiment(config), load_experiment(config, overrides)
    before = _moved(before, after)
    changed = [
        name
        for name in Experiment.model_fields
        if getattr(before, name) != getattr(after, name)
    ]
    settled = [name for name in changed if name not in CHANGEABLE]
    if settled:
        allowed = ", ".join(CHANGEABLE)
        raise BadConfig(
            "--set",
            [
                f"{name}: settled when the frames were taken; a replay can change "
                f"{allowed}"
                for name in settled
            ],
        )
    return after, [name for name in changed if name in ANALYSIS]


def _moved(before: Experiment, after: Experiment) -> Experiment:
    """Let a world file lie elsewhere than during the run."""
    if before.simulated is None or after.simulated is None:
        return before
    there = before.simulated.model_copy(update={"world": after.simulated.world})
    return before.model_copy(update={"simulated": there})


def _check(old: RunReader, experiment: Experiment, parent: Path) -> None:
    if old.state == "recording":
        raise BadRun(f"{old.directory} is still written; wait for its end")
    if not old.kept_sequences.size:
        raise BadRun(
            f"{old.directory}: the pixels of no frame were kept (log.frames was "
            f'"{experiment.log.frames}"), so there is nothing to analyse again'
        )
    check_replay(experiment, parent)


def _new_directory(wish: Wish, experiment: Experiment) -> Path:
    if wish.output is not None:
        return create_exact_directory(wish.output)
    parent = Path(experiment.run.directory)
    return create_run_directory(parent, experiment.run.name, datetime.now())


def _record(
    old: RunReader,
    analyse: Analyse,
    directory: Path,
    experiment: Experiment,
    wish: Wish,
) -> str:
    """Write the new run; gives how it ended."""
    facts = _facts(old, experiment)
    writer = RunWriter(directory, dump_experiment(experiment), experiment.log, facts)
    state = "faulted"
    try:
        ended = _fill(writer, old, _Player(old, analyse, experiment, wish.everything))
        _copy_truth(old, directory)
        state = ended
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        writer.close(state)
    return state


def _with_its_model(
    old: RunReader, experiment: Experiment, overrides: tuple[str, ...]
) -> Experiment:
    """Name the model that served, where neither the run nor a person has named one.

    What is nearest to its frames today may be another one.
    """
    facts = old.facts
    asked = any(one.startswith("inference.model=") for one in overrides)
    if experiment.inference.model == AUTO and not asked:
        return naming(experiment, facts.models[0])
    return with_model(experiment, facts.pixel_size_um)


def _facts(old: RunReader, experiment: Experiment) -> RunFacts:
    return replace(
        old.facts,
        run_id=uuid.uuid4().hex,
        software=software(),
        models=(experiment.inference.model, experiment.inference.engine),
        clock_mode="stepped",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        replay_of=old.facts.run_id,
    )


def _fill(writer: RunWriter, old: RunReader, player: "_Player") -> str:
    """Play every frame; the first Ctrl-C ends after the present one."""
    sequences = old.sequences.tolist()
    with progress_bar() as bar, interruptible() as stopped:
        tasks = Tasks(bar)
        for number, sequence in enumerate(sequences, 1):
            for record in player.play(sequence):
                _write(writer, record)
            writer.commit()
            free_gb = writer.free_gb()
            if free_gb < player.min_free_gb:
                raise BadRun(
                    f"{writer.directory}: {free_gb:.1f} GB are left, log.min_free_gb "
                    f"asks for {player.min_free_gb:g}: ended after {number} of "
                    f"{len(sequences)} frames; free some space or give --output"
                )
            tasks.tell("frames", number / len(sequences))
            if stopped.is_set():
                return "interrupted"
    return "ended"


class _Player:
    """Gives the frames of a run again, and what the analysis says of them now."""

    def __init__(
        self, old: RunReader, analyse: Analyse, experiment: Experiment, everything: bool
    ) -> None:
        self.min_free_gb = experiment.log.min_free_gb
        self._old = old
        self._analyse = analyse
        self._microscope = experiment.microscope
        self._analysed = None if everything else set(old.analysed_sequences.tolist())

    def play(self, sequence: int) -> list[Frame | Analysed | Skip]:
        """Give all that is to be recorded of one frame."""
        info = self._old.info(sequence)
        try:
            frame = self._old.frame(sequence)
            reason = "its pixels were not kept"
        except BadRun as error:  # damaged; the others can still be read
            frame, reason = None, str(error)
        if frame is None:
            return [Skip(sequence, info.time_s, "replay", reason)]
        if not self._is_wanted(info):
            return [frame]
        return [frame, _unsent(attempt(frame, lambda: self._analyse(frame)))]

    def _is_wanted(self, info: FrameInfo) -> bool:
        if self._analysed is None:
            return self._microscope.analyses(info.channel or None)
        return info.sequence in self._analysed


def _unsent(said: Analysed | Skip) -> Analysed | Skip:
    """Mark requests as what they are in a replay: written down, and not sent."""
    if isinstance(said, Skip):
        return said
    requests = tuple(replace(request, dry_run=True) for request in said.requests)
    return replace(said, requests=requests)


def _write(writer: RunWriter, record: Frame | Analysed | Skip) -> None:
    if isinstance(record, Frame):
        writer.write_frame(record)
    elif isinstance(record, Analysed):
        writer.write_analysed(record)
    else:
        writer.write_skip(record)


def _copy_truth(old: RunReader, directory: Path) -> None:
    """Let the new run be scored against the truth of the old one."""
    if old.truth_path is None:
        return
    try:
        shutil.copyfile(old.truth_path, directory / TRUTH)
    except OSError as error:
        raise BadRun(
            f"{old.truth_path} cannot be copied to {directory} "
            f"({error.strerror or error}); check the disk"
        ) from error


def _check_any_analysed(old: RunReader, new: RunReader, everything: bool) -> None:
    """Refuse to call a replay done in which every frame failed that was wanted."""
    wanted = set((old.sequences if everything else old.analysed_sequences).tolist())
    failed = [skip for skip in new.skips() if skip.sequence in wanted]
    if failed and not new.analysed_sequences.size:
        raise RunFailed(
            f"{new.directory}: none of {len(failed)} frames could be analysed; of "
            f"frame {failed[0].sequence} it is said: {failed[0].reason}"
        )


def _compare(
    old: RunReader, new: RunReader, changed: list[str], everything: bool
) -> dict[str, Any]:
    """Say whether both runs say the same, and why that cannot be asked."""
    reasons = [f"other settings: {', '.join(changed)}"] if changed else []
    before, now = engines_of(old), engines_of(new)
    if before != now:
        reasons.append(f"served by {_listed(now)}, was {_listed(before)}")
    missing = np.setdiff1d(old.analysed_sequences, new.analysed_sequences).size
    if missing or not len(old.analysed_sequences):
        count = len(old.analysed_sequences)
        reasons.append(f"{missing} of {count} analysed frames were not analysed again")
    if everything and np.setdiff1d(new.analysed_sequences, old.analysed_sequences).size:
        reasons.append("frames that the run had no time for are analysed too")
    if _was_restarted(old):
        reasons.append("the analysis of that run was restarted")
    found = compare_runs(old, new)
    if found.masks_not_kept:
        reasons.append(f"masks of {found.masks_not_kept} frames were not kept")
    if found.unreadable:
        count, first = len(found.unreadable), found.unreadable[0]
        reasons.append(f"{count} results cannot be read ({first})")
    return {
        "identical": None if reasons else not found.differences,
        "reason": "; ".join(reasons) or None,
        "differences": [asdict(one) for one in found.differences],
    }


def _was_restarted(run: RunReader) -> bool:
    """Tell by the names of its tracks; what came before is not known after a restart.

    Where they are damaged, the comparison of the frames says so.
    """
    try:
        return bool(run.track_ids().max(initial=0) > NAMES_PER_START)
    except (BadRun, OSError):
        return False


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
