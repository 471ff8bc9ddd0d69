"""The body of the recorder process: everything that comes goes to the run directory."""

import importlib.metadata
import logging
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acquisition.archive.directory import load_manifest
from acquisition.archive.reader import RunReader
from acquisition.archive.schema import MANIFEST, RunFacts
from acquisition.archive.writer import RunWriter
from acquisition.errors import BadRun
from acquisition.records import Analysed, Event, Frame, Health, Reply, Skip
from acquisition.runner import Child, Stopped, experiment_of
from acquisition.stream import Subscriber, receive_any
from configs.models import with_model
from configs.schema import Experiment

HEALTH_EVERY_S = 10.0
ORPHAN_S = 5.0
"""Without a supervisor the recorder stays until nothing has come for so long."""
WHOLE = ("camera", "recorder")
"""What these leave out is a whole frame; of others the frame itself is there."""

logger = logging.getLogger(__name__)


def record_run(child: Child, directory: str, config_text: str) -> None:
    """Body of the recorder process: everything that comes goes to the run directory.

    A recorder that is started again after a crash mends what its forerunner left and
    goes on in a new segment; the streams send again what had not been acknowledged.
    """
    prepare = child.wait_for("prepare")
    folder = Path(directory)
    experiment = experiment_of(config_text)
    facts = _run_facts(experiment, dict(prepare.facts), folder)
    forerunner = Forerunner(folder)
    writer = RunWriter(folder, config_text, experiment.log, facts)
    state = "faulted"
    sources: list[Subscriber] = []
    recorded = {"frames": 0, "analyses": 0}
    try:
        child.say_ready({})
        addresses = dict(child.wait_for("run").addresses)
        sources.append(Subscriber(addresses["frames"], "recorder", "all"))
        sources.append(Subscriber(addresses["analyses"], "recorder", "all"))
        _record(
            child, writer, sources, recorded, forerunner, experiment.log.min_free_gb
        )
        forerunner.name_the_rest(writer, child.facts)
        state = child.final_state
    except Stopped:
        forerunner.name_the_rest(writer, child.facts)
        state = child.final_state
        raise
    finally:
        child.report("stopping")  # it may take minutes to read a segment again
        writer.close(state)
        for source in sources:
            source.close()
    child.report("ended", facts={**recorded, "disk_free_gb": writer.free_gb()})


def _record(
    child: Child,
    writer: RunWriter,
    sources: list[Subscriber],
    recorded: dict[str, int],
    forerunner: "Forerunner",
    min_free_gb: float,
) -> None:
    """Write until told to stop and nothing more comes."""
    asked = False
    diary = _Diary()
    last = time.monotonic()
    while True:
        for source in sources:
            source.ready()
        records = receive_any(sources, 50)
        for record in records:
            if not forerunner.has_written(record):
                forerunner.name_the_gap(writer, record)
                _record_one(writer, record, recorded)
        child.listen()
        for health in child.relayed:
            if diary.is_news(health):
                writer.write_health(health)
        child.relayed.clear()
        writer.commit()
        free_gb = writer.free_gb()
        child.report("running", facts={**recorded, "disk_free_gb": free_gb})
        if free_gb < min_free_gb and not asked:
            asked = True
            child.ask_to_stop(f"only {free_gb:.1f} GB are left", by_person=False)
        last = time.monotonic() if records else last
        quiet_s = time.monotonic() - last
        if child.stopping and not records and quiet_s > ORPHAN_S * child.orphaned:
            return


class _Diary:
    """Keeps the health log of a run of days small: changes, and a line now and then."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[str, float]] = {}

    def is_news(self, health: Health) -> bool:
        """Say whether a report tells something new, or is due."""
        state, written_s = self._written.get(health.process, ("", 0.0))
        now = time.monotonic()
        due = now - written_s > HEALTH_EVERY_S
        if not (due or health.message or health.state != state):
            return False
        self._written[health.process] = (health.state, now)
        return True


class Forerunner:
    """What a recorder that died has left in the run; without one, nothing.

    Parameters
    ----------
    directory
        Of the run, before anything is mended in it.
    """

    def __init__(self, directory: Path) -> None:
        self._frames: set[int] = set()
        self._analysed = 0  # up to this frame, for they come in order
        self._skips: set[Skip] = set()
        self._gap_is_open = (directory / MANIFEST).exists()
        if self._gap_is_open:
            with RunReader(directory) as run:
                self._frames = set(run.sequences.tolist())
                self._analysed = max(run.analysed_sequences, default=0)
                self._skips = set(run.skips())

    def has_written(self, record: Any) -> bool:
        """Say whether a record is in the run already, and was sent again."""
        if isinstance(record, Frame):
            return record.info.sequence in self._frames
        if isinstance(record, Analysed):
            return record.segmented.info.sequence <= self._analysed
        return isinstance(record, Skip) and record in self._skips

    def name_the_gap(self, writer: RunWriter, record: Any) -> None:
        """Write down which frames died with it, as soon as a frame tells where."""
        if isinstance(record, Skip):
            self._skips.add(record)
        if not (self._gap_is_open and isinstance(record, Frame)):
            return
        self._name(writer, record.info.sequence, record.info.time_s)

    def name_the_rest(self, writer: RunWriter, facts: dict[str, float]) -> None:
        """Do so at the end of a run in which no frame has come any more."""
        if self._gap_is_open:
            made = int(facts.get("frames_made", 0))
            self._name(writer, made + 1, facts.get("time_s", 0.0))

    def _name(self, writer: RunWriter, before: int, time_s: float) -> None:
        self._gap_is_open = False
        missing = {skip.sequence for skip in self._skips if skip.stage in WHOLE}
        for sequence in sorted(set(range(1, before)) - self._frames - missing):
            reason = "lost when the recorder died"
            writer.write_skip(Skip(sequence, time_s, "recorder", reason))
        self._frames = set()  # from here on all are new


def software() -> str:
    """Give name and version of what writes a run."""
    return f"vigil {importlib.metadata.version('vigil-microscopy')}"


def _run_facts(
    experiment: Experiment, stand: dict[str, float], directory: Path
) -> RunFacts:
    """Describe the run; a restarted recorder keeps the identity of the run."""
    if (directory / MANIFEST).exists():
        return load_manifest(directory).facts
    settings = with_model(experiment, stand["pixel_size_um"]).inference
    return RunFacts(
        run_id=uuid.uuid4().hex,
        software=software(),
        seed=experiment.run.seed,
        pixel_size_um=stand["pixel_size_um"],
        modality=experiment.microscope.modality,
        shape=(int(stand["steps"]), int(stand["rows"]), int(stand["columns"])),
        models=(settings.model, settings.engine),
        clock_mode=experiment.run.clock,
        clock_speed=experiment.run.speed,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _record_one(writer: RunWriter, record: Any, recorded: dict[str, int]) -> None:
    if isinstance(record, Frame):
        _record_frame(writer, record)
        recorded["frames"] += 1
    elif isinstance(record, Analysed):
        writer.write_analysed(record)
        recorded["analyses"] += 1
    elif isinstance(record, Skip):
        writer.write_skip(record)
    elif isinstance(record, Reply):
        writer.write_reply(record)
    elif not isinstance(record, Event):  # an event stands in its analysis
        logger.warning("recorder: unexpected %s", type(record).__name__)


def _record_frame(writer: RunWriter, frame: Frame) -> None:
    """Write a frame; one that does not fit the run costs itself only."""
    try:
        writer.write_frame(frame)
    except BadRun as error:
        if writer.failed:
            raise
        info = frame.info
        writer.write_skip(Skip(info.sequence, info.time_s, "recorder", str(error)))
