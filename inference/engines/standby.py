"""A better engine is made in the background while another one serves."""

import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import VigilError
from inference.maps import Engine, Maps

logger = logging.getLogger(__name__)


class StandbyEngine:
    """Serves with one engine until a better one is ready; see :class:`Engine`.

    ``build`` runs in a thread and gives the better engine, tried and found good, or
    None. The change happens between two frames: after :meth:`infer`, ``name`` is the
    engine that served that frame.
    """

    def __init__(self, serving: Engine, build: Callable[[], Engine | None]) -> None:
        self._serving = serving
        self._build = build
        self._ready: Engine | None = None
        self._lock = threading.Lock()
        self._closed = False
        # No daemon: compilers that are still at work when the interpreter goes abort
        # the process, so its end waits for them.
        self._thread = threading.Thread(target=self._prepare, name="engine-build")
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the engine that serves."""
        return self._serving.name

    @property
    def model(self) -> str:
        """Name and short hash of card and weights."""
        return self._serving.model

    def infer(self, frame: NDArray[np.uint16], offset: float, scale: float) -> Maps:
        """Give the maps of a frame ``(y, x)``; the better engine takes over first."""
        with self._lock:
            better, self._ready = self._ready, None
        if better is not None:
            logger.info("%s takes over from %s", better.name, self._serving.name)
            self._serving.close()
            self._serving = better
        return self._serving.infer(frame, offset, scale)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the better engine is ready or given up; False: not yet."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Let go of both engines; one that is still being made closes itself."""
        with self._lock:
            self._closed = True
            better, self._ready = self._ready, None
        self._serving.close()
        if better is not None:
            better.close()

    def _prepare(self) -> None:
        try:
            better = self._build()
        except VigilError as error:
            logger.warning("%s goes on serving: %s", self._serving.name, error)
            return
        if better is None:
            return
        with self._lock:
            if not self._closed:
                self._ready, better = better, None
        if better is not None:
            better.close()
