"""The thread in which closed contacts are solved; nobody ever waits for it.

An answer is taken when it is there. Until then the places that were smoothed at the
fixed lag stand. Where the solver finds no solution the exact banded one takes its
place, and says so.
"""

import atexit
import logging
import queue
import threading
import weakref
from dataclasses import dataclass, field

import numpy as np

from tracking.revisions.episodes import (
    Closed,
    Episode,
    assemble,
    exchange,
    filled,
    rejoin,
)
from tracking.revisions.robust import Contact, RobustCourses, Rules, Walls
from tracking.revisions.smoothing import Places, smooth_course

logger = logging.getLogger(__name__)

MOST_WAITING = 256
"""Contacts that wait; one more is left out, and counted."""
IDLE_S = 20.0
"""After so long without work the thread ends; the next episode starts another."""
PATIENCE_S = 600.0
"""Where time stands still meanwhile (stepped clock), an answer may take so long, on
the busiest of machines: what came too late would make another run of the same seed."""
CLOSING_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How an episode is seen now that it is over."""

    episode: Episode
    order: tuple[int, ...]  # for every cell before, the row of its later part
    gain: float  # variances by which that is the better explanation
    places_um: Places  # (cell, frame, yx)
    method: str  # "osqp", or "banded" and why


@dataclass(slots=True)
class Job:
    """A contact that was handed in."""

    closed: Closed
    walls_um: Walls
    finished: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None  # None: it cannot be told apart


_Work = Job | threading.Event
"""A contact, or an event to set once all is prepared."""


class EpisodeSolver:
    """Solves contacts of all positions, one after the other, in the background.

    Parameters
    ----------
    rules
        What courses may do.
    patient
        Wait for answers: only where nothing goes on meanwhile. It makes a run come out
        the same on every machine.
    """

    def __init__(self, rules: Rules, *, patient: bool = False) -> None:
        self.patient = patient
        self._rules = rules
        self._courses = RobustCourses(rules)
        self._jobs: queue.Queue[_Work] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        _alive.add(self)

    def prepare(self) -> threading.Event:
        """Load in the background what contacts would have to wait for.

        It takes a second and the interpreter with it, so a run begins only once the
        event is set.
        """
        ready = threading.Event()
        if not self._put(ready):
            ready.set()  # contacts wait already: they load it
        return ready

    def submit(self, closed: Closed, walls_um: Walls) -> Job | None:
        """Hand in a contact; None if too many wait already."""
        job = Job(closed, walls_um)
        return job if self._put(job) else None

    def close(self) -> None:
        """Let the thread end; what still waits stays without an answer."""
        self._closing = True
        thread = self._thread
        if thread is not None:
            self._put(threading.Event())  # wakes it
            thread.join(CLOSING_S)

    def _put(self, job: _Work) -> bool:
        with self._lock:  # so that the thread does not end between look and put
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="episodes", daemon=True
                )
                self._thread.start()
            try:
                waits = self.patient and isinstance(job, Job)
                self._jobs.put(job, block=waits, timeout=PATIENCE_S)
            except queue.Full:
                return False
            return True

    def _work(self) -> None:
        while not self._closing:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._thread = None
                        return
                continue
            if self._closing:
                return
            self._do(job)

    def _do(self, job: _Work) -> None:
        """Do one job; whatever goes wrong costs its answer only, and is said."""
        if isinstance(job, threading.Event):
            self._prepare(job)
            return
        try:
            episode = assemble(job.closed)
            if episode is not None:
                job.answer = self._answer(episode, job.walls_um)
        except Exception:
            logger.exception("a contact could not be looked at again")
        finally:
            job.finished.set()

    def _prepare(self, ready: threading.Event) -> None:
        try:
            self._courses.prepare()
        except Exception:
            logger.exception("the solver of contacts could not be loaded beforehand")
        finally:
            ready.set()

    def _answer(self, episode: Episode, walls_um: Walls) -> Answer:
        rules = self._rules
        order, gain = rejoin(episode, rules.lam, rules.noise_um)
        centre_um, seen = exchange(episode, order)
        contact = Contact(episode.time_s, *filled(centre_um, seen), walls_um)
        try:
            solved, method = self._courses.solve(contact)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
            solved, method = None, str(error)
        if solved is None:
            solved = smooth_course(episode.time_s, centre_um, seen, rules.lam)
            method = f"banded: {method}"
        return Answer(episode, order, gain, solved, method)


_alive: weakref.WeakSet[EpisodeSolver] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # NOTE: a thread inside a C++ solver when the interpreter ends aborts the process.
    for solver in list(_alive):
        solver.close()
