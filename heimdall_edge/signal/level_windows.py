"""Windows of a signal that never ends, of which only its level is known, a few times a second."""

from __future__ import annotations

from heimdall_edge.signal.level_floor import LevelFloor
from heimdall_edge.signal.level_spans import LevelSpan, Stretch, mean_power, to_db, to_power
from heimdall_edge.types import NS_PER_S


class LevelWindows:
    """Gives the whole windows of a UTC grid in which the channel is ``open_db`` over its floor.

    The floor is the window's own where the values bring the quiet part of the channel's spectrum.
    Where they do not, it is that of the quiet moments: a signal without pauses stays unheard.
    """

    def __init__(self, *, open_db: float, window_s: float) -> None:
        self._open_ratio = to_power(open_db)
        self._window_ns = round(window_s * NS_PER_S)
        self._quiet_moments = LevelFloor()
        self._floor: float | None = None
        self._begin_run()

    def _begin_run(self) -> None:
        self._stretches: list[Stretch] = []
        self._settled_utc_ns: int | None = None

    @property
    def floor(self) -> float | None:
        """In the newest window."""
        return self._floor

    @property
    def settled_utc_ns(self) -> int | None:
        return self._settled_utc_ns

    def add(self, stretch: Stretch) -> list[LevelSpan]:
        """Give the windows that are complete by now."""
        self._quiet_moments.add(stretch.power, duration_s=stretch.duration_s)
        self._stretches.append(stretch)
        spans: list[LevelSpan] = []
        start_utc_ns = self._settled_utc_ns or self._first_window(self._stretches[0])
        while start_utc_ns + self._window_ns <= stretch.end_utc_ns:
            end_utc_ns = start_utc_ns + self._window_ns
            spans += self._judge(start_utc_ns, end_utc_ns)
            start_utc_ns = self._settled_utc_ns = end_utc_ns
            self._stretches = [s for s in self._stretches if s.end_utc_ns > end_utc_ns]
        return spans

    def _first_window(self, stretch: Stretch) -> int:
        return -(-stretch.start_utc_ns // self._window_ns) * self._window_ns

    def end_run(self) -> list[LevelSpan]:
        """Drop the window that is not whole."""
        self._begin_run()
        return []

    def _judge(self, start_utc_ns: int, end_utc_ns: int) -> list[LevelSpan]:
        self._floor = self._floor_between(start_utc_ns, end_utc_ns)
        if self._floor is None:
            return []
        power = mean_power(self._stretches, start_utc_ns, end_utc_ns)
        if power < self._open_ratio * self._floor:
            return []
        return [LevelSpan(start_utc_ns, end_utc_ns, to_db(power), to_db(self._floor))]

    def _floor_between(self, start_utc_ns: int, end_utc_ns: int) -> float | None:
        """The quieter of what the spectrum shows in a window and what the moments have shown."""
        quiet = [
            Stretch(s.start_utc_ns, s.end_utc_ns, s.quiet_power)
            for s in self._stretches
            if s.quiet_power is not None and s.start_utc_ns < end_utc_ns
        ]
        found = [self._quiet_moments.power]
        if quiet:
            found.append(mean_power(quiet, start_utc_ns, end_utc_ns))
        return min((power for power in found if power is not None), default=None)
