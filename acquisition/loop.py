"""The body of the acquisition process: microscope, scheduler and publisher in one loop.

The engine runs in a thread of its own and hands every whole frame to `_on_frame`, which
only stamps, checks and enqueues. The main thread takes requests, reports health, and
decides when to hold and when to end.
"""

import json
import logging
import queue
import threading
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from acquisition.clock import Clock
from acquisition.engine import FrameStamps, StrictEngine
from acquisition.errors import MicroscopeFault
from acquisition.inspection import Inspector
from acquisition.mailbox import Inbox
from acquisition.microscope import Microscope, close_microscope, open_microscope
from acquisition.records import Frame, FrameInfo, Request, Skip
from acquisition.runner import RECORDER_OWED_S, Child, Stopped, experiment_of
from acquisition.schedule import EventSource
from acquisition.simulated.truth.file import TruthWriter
from acquisition.simulated.view import Cycle
from acquisition.stands import steps_of
from acquisition.stream import Publisher
from configs.schema import Experiment

logger = logging.getLogger(__name__)

MOST_FAULTS_IN_A_ROW = 5
"""After so many exposures without a frame the run is faulted."""

STAND = "stand.json"
"""All device properties as they were when the run began."""

HOLD_ABOVE, RESUME_BELOW = 0.95, 0.5
"""Fill of the recorder's queue at which the scheduler holds and goes on."""

LOCKSTEP_TIMEOUT_S = 60.0

OWED_S = {"recorder": RECORDER_OWED_S, "analysis": 10.0}
"""At the end a subscriber that takes nothing of what it is owed is given so long."""
UNTOLD_S = 2.0
"""A wait at the end is told to a person when it has lasted so long."""


def acquire(child: Child, config_text: str, directory: str) -> None:
    """Acquire frames until the time-lapse, the duration or the supervisor ends it."""
    experiment = experiment_of(config_text)
    clock = Clock(experiment.run.clock, experiment.run.speed)
    microscope = open_microscope(experiment, clock)
    loop = None
    try:
        loop = Acquisition(child, experiment, clock, microscope, Path(directory))
        loop.run()
    except Exception:
        if loop is not None and loop.stalled:
            logger.exception("acquisition failed")  # run_child will not come to it
        raise
    finally:
        stalled = loop is not None and loop.stalled
        close_microscope(microscope, stalled=stalled)
        if stalled:
            child.leave()


class Acquisition:
    """One run of the microscope, from *ready* to *ended*."""

    def __init__(
        self,
        child: Child,
        experiment: Experiment,
        clock: Clock,
        microscope: Microscope,
        directory: Path,
    ) -> None:
        self._child = child
        self._experiment = experiment
        self._clock = clock
        self._microscope = microscope
        self._directory = directory
        self._sequence = 0
        self._skipped = 0
        self._extra = 0
        self._recorded_only = 0
        self._late = 0
        self._expired = 0  # requests that were not met in time
        self._faults_in_a_row = 0
        self._fault = ""
        self._stalled = False
        self._remarks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._truth: TruthWriter | None = None
        self._inspector = Inspector(microscope.saturation_dn)
        self._engine = StrictEngine(microscope, self._on_frame)
        self._thread: threading.Thread | None = None
        self._began: float | None = None  # monotonic seconds
        queue_bytes = int(experiment.log.queue_mb * 1e6)
        self._publisher = Publisher(queue_bytes=queue_bytes)
        self._requests = Inbox()
        self._source = EventSource(clock, microscope.core, microscope.limits)

    @property
    def stalled(self) -> bool:
        """Whether an exposure never came back; its thread is still in the driver."""
        return self._stalled

    def run(self) -> None:
        """Say ready, wait for the word, acquire, and close everything in order."""
        rows, columns = self._microscope.shape
        self._microscope.warm_up()
        self._child.say_ready(
            {"frames": self._publisher.address, "requests": self._requests.address},
            {
                "rows": rows,
                "columns": columns,
                "steps": self._microscope.steps,
                "pixel_size_um": self._microscope.pixel_size_um,
            },
            self._microscope.notes,
        )
        try:
            self._child.wait_for("run")
            missing = self._publisher.wait_for(("analysis", "recorder"), 30.0)
            if missing:
                self._fault = f"{' and '.join(missing)} did not connect within 30 s"
            else:
                self._acquire()
        except Stopped:
            raise
        except Exception as error:
            # NOTE: told again by run_child; here so that the run never looks complete.
            self._fault = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._finish()

    def _acquire(self) -> None:
        self._open_truth()
        stand = json.dumps(self._microscope.snapshot(), indent=1)
        (self._directory / STAND).write_text(stand, encoding="utf-8")
        self._clock.start()
        self._began = time.monotonic()
        if self._microscope.stand is not None:
            self._microscope.stand.start()
        self._source.add_timelapse(self._microscope.planned(self._experiment.timelapse))
        # NOTE: a daemon, for a stalled camera keeps this thread for ever.
        self._thread = threading.Thread(target=self._drive, name="engine", daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not self._stalled:
            self._take_requests()
            self._steer()
            self._watch_camera()
            state = "holding" if self._source.held else "running"
            self._report(state, self._remark())

    def _watch_camera(self) -> None:
        """End the run when an exposure does not come back."""
        stalled_s = self._engine.stalled_for_s
        if not stalled_s:
            return
        self._stalled = True
        stall = (
            f"camera stall: an exposure has not returned for {stalled_s:.0f} s; "
            "switch the camera off and on, then start a new run"
        )
        self._fault = self._fault or stall
        self._sequence += 1
        self._skip("camera", stall)

    def _remark(self) -> str:
        """Give the next thing that a person should read, if there is one."""
        try:
            return self._remarks.get_nowait()
        except queue.Empty:
            return ""

    def _drive(self) -> None:
        """Let the engine run; a missing frame is recorded and the run goes on."""
        runner = self._microscope.core.mda
        runner.set_engine(self._engine)
        while True:
            try:
                runner.run(self._source)
            except MicroscopeFault as error:
                self._on_fault(error)
                if self._faults_in_a_row < MOST_FAULTS_IN_A_ROW:
                    continue
                self._fault = f"{self._faults_in_a_row} faults in a row: {error}"
            except Exception as error:
                logger.exception("the engine failed")
                self._fault = f"{type(error).__name__}: {error}"
            self._source.close()
            return

    def _on_fault(self, error: MicroscopeFault) -> None:
        self._faults_in_a_row += 1
        self._sequence += 1
        self._skip("camera", f"{type(error).__name__}: {error}")

    def _skip(self, stage: str, reason: str) -> None:
        self._skipped += 1
        logger.warning("frame %d left out: %s", self._sequence, reason)
        skip = Skip(self._sequence, self._clock.now_s(), stage, reason)
        self._publisher.tell(skip)

    def _on_frame(
        self, event: dict[str, Any], pixels: NDArray[Any], stamps: FrameStamps
    ) -> None:
        """Take one whole frame from the engine (in the engine's thread)."""
        if self._stalled:
            return  # given up before it came
        self._sequence += 1
        shape = (steps_of(stamps.modality), *self._microscope.shape)
        reason = self._inspector.judge(pixels, shape)
        if reason is not None:
            self._skip("camera", f"quarantined: {reason}")
            return
        self._faults_in_a_row = 0
        info = self._describe(event, stamps)
        self._extra += info.cause != "protocol"
        self._note_lateness(stamps)
        if self._experiment.microscope.analyses(info.channel or None):
            self._publisher.publish(Frame(info, pixels))
        else:
            self._recorded_only += 1
            # Not even offered: it could push out a frame that is to be analysed.
            self._publisher.publish(Frame(info, pixels), to=("recorder",))
        if self._truth is not None and stamps.cycle is not None:
            self._write_truth(self._truth, info.time_s, stamps.cycle)
        if self._clock.mode == "stepped":
            self._keep_step(info)

    def _note_lateness(self, stamps: FrameStamps) -> None:
        """Say that a frame came late; it is sound, so it is kept."""
        if not stamps.is_late:
            return
        self._late += 1
        self._remarks.put(
            f"frame {self._sequence} is late: an exposure took "
            f"{stamps.slowest_ms:.0f} ms instead of {stamps.exposure_ms:g} ms; it is "
            "kept, and its stamps tell when it was taken"
        )

    def _write_truth(self, truth: TruthWriter, time_s: float, cycle: Cycle) -> None:
        """Write the truth of a frame; without room for it the run goes on."""
        try:
            truth.write(self._sequence, time_s, cycle)
        except (OSError, RuntimeError, ValueError) as error:
            self._truth = None
            self._skip("truth", f"the truth ends here: {error}")

    def _describe(self, event: dict[str, Any], stamps: FrameStamps) -> FrameInfo:
        scope = self._microscope
        return FrameInfo(
            sequence=self._sequence,
            time_s=self._clock.at_s(stamps.exposure_end_ns),
            modality=stamps.modality,
            channel=stamps.channel,
            pixel_size_um=scope.pixel_size_um,
            exposure_ms=stamps.exposure_ms,
            saturation_dn=scope.saturation_dn,
            position=event["position"],
            stage_yx_um=stamps.stage_yx_um,
            focus_um=stamps.focus_um,
            cause=event["cause"],
            dose_gy=scope.dose_gy(),
            beam_open=scope.beam_was_open(stamps.cycle),
            exposure_start_ns=stamps.exposure_start_ns,
            exposure_end_ns=stamps.exposure_end_ns,
            read_ns=stamps.read_ns,
        )

    def _keep_step(self, info: FrameInfo) -> None:
        """With the stepped clock every frame is analysed before the next is made.

        The frame itself took its time, so no two frames bear the same one.
        """
        took_s = info.exposure_ms / 1e3 * steps_of(info.modality)
        self._clock.step_to(self._clock.now_s() + took_s)
        deadline = time.monotonic() + LOCKSTEP_TIMEOUT_S
        for name in ("analysis", "recorder"):
            while not self._publisher.wait_idle(name, 0.2):
                if self._child.stopping or time.monotonic() > deadline:
                    return

    def _open_truth(self) -> None:
        simulated = self._experiment.simulated
        stand = self._microscope.stand
        if stand is None or simulated is None or not simulated.truth:
            return
        self._truth = TruthWriter(
            self._directory / "truth.h5",
            stand.world,
            self._experiment.run.seed,
            simulated.size_px,
            self._microscope.pixel_size_um,
        )
        if simulated.truth_detail == "full":
            stand.keep_truth()

    def _take_requests(self) -> None:
        received = self._requests.receive(20)
        if received is not None:
            sender, request = received
            if isinstance(request, Request):
                reply = self._source.add_request(request, self._clock.now_s())
                self._expired += reply.outcome == "expired"
                self._requests.answer(sender, reply)
                self._publisher.tell(reply)
        self._tell_replies()

    def _tell_replies(self) -> None:
        for reply in self._source.replies():
            self._expired += reply.outcome == "expired"
            self._publisher.tell(reply)

    def _steer(self) -> None:
        """Hold, resume or end, as the queue, the supervisor and the clock say."""
        self._child.listen()
        fill = self._publisher.fill()
        if fill > HOLD_ABOVE:
            self._source.hold()
        elif self._source.held and fill < RESUME_BELOW:
            self._source.resume()
        if self._child.stopping or self._time_is_up():
            self._source.close()

    def _time_is_up(self) -> bool:
        run = self._experiment.run
        if run.duration_s is None:
            return False
        return self._clock.now_s() >= run.duration_s * self._clock.speed

    def _report(self, state: str, message: str = "") -> None:
        self._child.report(
            state,
            time_s=self._clock.now_s(),
            message=message,
            skipped=self._skipped,
            streams=self._publisher.counts(),
            facts={
                "frames_made": self._sequence,
                "extra_frames": self._extra,
                "recorded_only": self._recorded_only,
                "late_frames": self._late,
                "requests_expired": self._expired,
                "dose_gy": self._microscope.dose_gy(),
                "skipped_slots": self._source.skipped_slots,
                "recorder_fill": self._publisher.fill(),
                "simulator_cpu_share": self._simulator_share(),
                "garbage": self._publisher.garbage + self._requests.garbage,
            },
        )

    def _simulator_share(self) -> float:
        """Give the cores that drawing the specimen has used since the run began."""
        stand = self._microscope.stand
        if stand is None or self._began is None:
            return 0.0
        return stand.cpu_s / max(time.monotonic() - self._began, 1e-3)

    def _hand_over(self, name: str) -> None:
        """Wait until a subscriber has taken what it is owed, and say so meanwhile."""
        began, told = time.monotonic(), False

        def report(left: int) -> int | None:
            nonlocal told
            tell = not told and time.monotonic() - began > UNTOLD_S
            told |= tell
            waits = f"waiting for the {name}, which has {left} more to take"
            self._report("stopping", waits if tell else "")
            self._child.listen()
            return self._child.recorders if name == "recorder" else 1

        self._publisher.hand_over(name, OWED_S[name], report)

    def _finish(self) -> None:
        """Close everything in order: engine, streams, truth; then say how it went."""
        self._source.close()
        thread = self._thread
        while thread is not None and thread.is_alive() and not self._stalled:
            thread.join(0.2)
            self._watch_camera()
            self._report("stopping")
        self._tell_replies()
        for name in OWED_S:
            self._hand_over(name)
        unsent = self._publisher.close()
        if unsent:
            self._fault = self._fault or f"{unsent} frames could not be recorded"
        self._requests.close()
        if self._truth is not None:
            self._truth.close()
        self._report("faulted" if self._fault else "ended", self._fault)
