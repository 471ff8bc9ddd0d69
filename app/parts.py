"""One process of a run as its supervisor sees it: its words, its silence, its end."""

import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

import psutil

from acquisition.clock import stamp_ns
from acquisition.records import Health, Ready

MOST_RESTARTS, RESTART_WINDOW_S = 3, 60.0
"""One that dies once more within this time, or once more in a row before it was ready,
is not started again."""
RESTARTED = {
    "analysis": "the recording goes on",
    "recorder": "frames wait in memory meanwhile",
}
"""Parts that can be replaced in the middle of a run, and what that means."""

HUNG_S = {"analysis": 30.0, "recorder": 120.0}
"""A part that says nothing for so long is killed, and so replaced. A recorder costs its
last second of frames then, and may only have waited for its disk: it is given longer
than any disk should take, and is left alone where the system says that it waits."""


END_S, SLOW_END_S = 60.0, 300.0
"""A part that does not stop, and hands nothing over meanwhile, is killed; the second
holds where a slow disk may be the reason: at a recorder, which reads its last segment
again to seal it, and at those with something for it."""


@dataclass
class Part:
    """One process of a run."""

    name: str
    handle: BaseProcess
    identity: bytes | None = None
    ready: Ready | None = None
    health: Health | None = None
    starts: list[float] = field(default_factory=list)
    fruitless: int = 0  # starts in a row before this one that came to nothing
    spawn_again_at: float | None = None
    progressed_s: float = (
        0.0  # monotonic, when less waited for the recorder than before
    )
    judged: bool = False  # its death is known, or was our doing and has been told
    stuck: bool = False  # it was, and has been killed for it

    @property
    def fruitless_by_now(self) -> int:
        """Starts in a row that came to nothing, if it has just died."""
        return self.fruitless + 1 if self.ready is None else 0

    @property
    def alive(self) -> bool:
        """Whether the process exists."""
        return self.handle.is_alive()

    @property
    def ended(self) -> bool:
        """Whether it has said its last words."""
        return self.health is not None and self.health.state in ("ended", "faulted")

    @property
    def done(self) -> bool:
        """Whether it has ended in good order; a recorder has sealed the run then."""
        return self.health is not None and self.health.state == "ended"

    @property
    def silent_s(self) -> float:
        """Seconds since it last said something; 0 before the first time."""
        if self.health is None:
            return 0.0
        return (stamp_ns() - self.health.sent_ns) * 1e-9

    @property
    def lost(self) -> bool:
        """Whether it is dead for good."""
        return self.judged and not self.alive and self.spawn_again_at is None

    @property
    def patience_s(self) -> float:
        """Seconds that it may take to end."""
        owes = self.health is not None and self.health.queued > 0
        return SLOW_END_S if owes or self.name == "recorder" else END_S

    def hear(self, health: Health) -> None:
        """Take what it says about itself."""
        if self.health is not None and health.queued < self.health.queued:
            self.progressed_s = time.monotonic()
        self.health = health

    def made(self) -> dict[str, float]:
        """Give what a microscope says that it has made, and when."""
        if self.health is None:
            return {}
        made = dict(self.health.facts).get("frames_made", 0)
        return {"frames_made": made, "time_s": self.health.time_s}

    def is_hung(self, heard_for_s: float) -> bool:
        """Say whether it has stopped working, to one who has listened for so long."""
        if self.name not in HUNG_S or self.ready is None or self.stuck:
            return False
        if self.health is None or self.health.state != "running":
            return False  # it is starting or ending, and may take its time
        if min(self.silent_s, heard_for_s) < HUNG_S[self.name]:
            return False
        return self.name != "recorder" or not self.waits_for_the_disk()

    def waits_for_the_disk(self) -> bool:
        """Say whether it is in a call to the disk; False where nobody can know."""
        try:
            status = psutil.Process(self.handle.pid).status()
        except psutil.Error:
            return False
        return bool(status == psutil.STATUS_DISK_SLEEP)

    def last_heard(self) -> str:
        """Say when it last spoke, and of what."""
        if self.health is None:
            return "it never said anything"
        said = f"last heard {self.silent_s:.0f} s ago: {self.health.state}"
        if self.health.queued:
            said += f", {self.health.queued} waiting for the recorder"
        return f"{said}, {self.health.message}" if self.health.message else said

    def why_dead(self) -> str:
        """Say what it died of, in its own words if there are any."""
        if self.ended and self.health is not None and self.health.message:
            return f"{self.name}: {self.health.message}"
        return f"{self.name} died (exit code {self.handle.exitcode})"

    def restart_after_s(self) -> float | None:
        """Give the seconds after which a dead part is started again; None: never.

        At once the first time within the window, then after 2 and 4 seconds. A
        recorder that ended by itself would find the same disk again.
        """
        if self.name not in RESTARTED or (self.name == "recorder" and self.ended):
            return None
        now = time.monotonic()
        recent = sum(now - start < RESTART_WINDOW_S for start in self.starts)
        if max(recent, self.fruitless_by_now) > MOST_RESTARTS:
            return None
        return 0.0 if recent <= 1 else 2.0 ** (recent - 1)


def begin_part(name: str, handle: BaseProcess, earlier: Part | None) -> Part:
    """Give the part of a new process; it inherits how its predecessors fared."""
    now = time.monotonic()
    if earlier is None:
        return Part(name, handle, starts=[now])
    fruitless = earlier.fruitless_by_now
    return Part(name, handle, starts=[*earlier.starts, now], fruitless=fruitless)
