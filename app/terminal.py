"""The run in two lines of a terminal, or one plain line now and then in a file."""

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from app.view import FRAMELESS, Figures, View, clock_text

PLAIN_EVERY_S = 5.0
LIVE_EVERY_S = 0.25


class StatusLine:
    """Writes what a person without a window wants to know.

    Parameters
    ----------
    stream
        Where to write.
    interactive
        A terminal: two lines that are rewritten in place. Otherwise a line of text
        every five seconds, fit for a log file.
    now_s
        Monotonic seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        interactive: bool,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._now_s = stream, now_s
        self._written_s: float | None = None
        self._alarms: frozenset[str] = frozenset()
        self._live: Live | None = None
        if interactive:
            console = Console(file=stream, highlight=False)
            # NOTE: nothing is redirected here, or the result of the run, which is
            # printed on stdout, would wait for a terminal that is blocked.
            self._live = Live(
                console=console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def update(self, view: View) -> None:
        """Write the state if it is time to; alarms are written at once."""
        for alarm in view.alarms:
            if alarm not in self._alarms:
                self.say(f"! {alarm}", "bold red")
        self._alarms = frozenset(view.alarms)
        now_s = self._now_s()
        every_s = PLAIN_EVERY_S if self._live is None else LIVE_EVERY_S
        if self._written_s is None or now_s - self._written_s >= every_s:
            self._written_s = now_s
            self._write(view)

    def close(self) -> None:
        """Leave the last state standing and give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        """Write a sentence that stays, above the state."""
        if self._live is None:
            self._stream.write(line + "\n")
            self._stream.flush()
        else:
            self._live.console.print(Text(line, style))

    def _write(self, view: View) -> None:
        if self._live is None:
            self.say("  ".join((run_line(view.figures), cell_line(view.figures))))
            return
        figures = view.figures
        text = Text()
        text.append("● ", _colour(figures))
        text.append(run_line(figures) + "\n", "red" if figures.over_budget else "")
        text.append("  " + cell_line(figures))
        text.no_wrap = True
        text.overflow = "ellipsis"
        self._live.update(text, refresh=True)


def run_line(figures: Figures) -> str:
    """Say how the run is doing."""
    parts = [f"{figures.state} {clock_text(figures.time_s)}"]
    if figures.frames_per_s is not None:
        parts.append(f"{figures.frames_per_s:.3g} fps")
    if figures.latency_p50_ms is not None and figures.latency_p95_ms is not None:
        parts.append(
            f"latency {figures.latency_p50_ms:.0f}/{figures.latency_p95_ms:.0f} ms "
            f"(budget {figures.budget_ms:g})"
        )
    parts.append(f"dropped {figures.dropped}")
    parts += [f"{name} {n}" for name, n in figures.losses if name in FRAMELESS]
    if figures.disk_free_gb is not None:
        parts.append(f"disk {figures.disk_free_gb:.0f} GB")
    return "  ".join(parts)


def cell_line(figures: Figures) -> str:
    """Say how the cells are doing."""
    live = figures.live_fraction
    parts = [
        f"cells {figures.cells}",
        "live –" if live is None else f"live {live:.1%}",
        f"deaths {figures.deaths}",
        f"contacts {figures.contacts}",
        f"requests {figures.requests}",
        f"dose {figures.dose_gy:.2f} Gy",
    ]
    if figures.beam_open:
        parts.append("BEAM OPEN")
    return "  ".join(parts)


def _colour(figures: Figures) -> str:
    if figures.state == "faulted":
        return "red"
    return "yellow" if figures.state in ("holding", "stopping") else "green"
