"""Levels of one channel, a few a second → when it spoke, how strongly, and how far that is decided.

::

    (utc_ns, level_db) ─▶ Stretch ─▶ LevelBursts | LevelWindows ─▶ LevelSpan
                             └─▶ LevelFloor ────────▲

For receivers that give no samples. The words mean what they mean for samples (see
:class:`~heimdall_edge.signal.bursts.BurstFinder`); the resolution is that of the series.
"""

from __future__ import annotations

from typing import Literal, Protocol

from heimdall_edge.signal.level_bursts import LevelBursts
from heimdall_edge.signal.level_spans import LevelSpan, Stretch, to_db, to_power
from heimdall_edge.signal.level_windows import LevelWindows
from heimdall_edge.types import NS_PER_S

GREATEST_LEVEL_DB = 300.0
"""Beyond this to either side, a level is no level."""
MAX_GAP_S = 2.0


class _Finder(Protocol):
    @property
    def floor(self) -> float | None: ...

    @property
    def settled_utc_ns(self) -> int | None: ...

    def add(self, stretch: Stretch) -> list[LevelSpan]: ...

    def end_run(self) -> list[LevelSpan]: ...


class LevelTracker:
    """Finds the transmissions in a series of levels.

    Parameters
    ----------
    mode, open_db, close_db, hang_s, min_duration_s, max_duration_s, window_s
        As :class:`~heimdall_edge.config.Channel` says them.
    max_gap_s
        Values farther apart than this do not belong together: nobody listened in between.
    """

    def __init__(
        self,
        *,
        mode: Literal["burst", "continuous"] = "burst",
        open_db: float = 8.0,
        close_db: float = 5.0,
        hang_s: float = 0.2,
        min_duration_s: float = 0.05,
        max_duration_s: float = 5.0,
        window_s: float = 5.0,
        max_gap_s: float = MAX_GAP_S,
    ) -> None:
        self._open_db = open_db
        self._max_gap_ns = round(max_gap_s * NS_PER_S)
        self._finder: _Finder
        if mode == "continuous":
            self._finder = LevelWindows(open_db=open_db, window_s=window_s)
        else:
            self._finder = LevelBursts(
                open_db=open_db,
                close_db=close_db,
                hang_s=hang_s,
                min_duration_s=min_duration_s,
                max_duration_s=max_duration_s,
            )
        self._since_utc_ns: int | None = None
        self._last_utc_ns: int | None = None

    @property
    def floor_db(self) -> float | None:
        """Noise in the channel; None while unknown."""
        return None if self._finder.floor is None else to_db(self._finder.floor)

    @property
    def limit_db(self) -> float | None:
        """The level under which a transmission stays unheard; None while unknown."""
        return None if self.floor_db is None else self.floor_db + self._open_db

    @property
    def listening_since_ns(self) -> int | None:
        """When the last gap ended; None before any value."""
        return self._since_utc_ns

    @property
    def listened_until_ns(self) -> int | None:
        """Every span that starts before this has been given; None while nothing is decided."""
        return self._finder.settled_utc_ns

    def add(
        self, utc_ns: int, level_db: float, *, quiet_db: float | None = None
    ) -> list[LevelSpan]:
        """Take the level of the time from the last value until now; give the spans that ended.

        The first value, and one after a gap or a step of the clock, only begins that time.

        Raises
        ------
        ValueError
            A level is not a finite number between -300 and 300 dB; nothing was changed.
        """
        power = _power_of(level_db)
        quiet_power = None if quiet_db is None else _power_of(quiet_db)
        if self._last_utc_ns == utc_ns:
            return []
        if self._last_utc_ns is None or not 0 < utc_ns - self._last_utc_ns <= self._max_gap_ns:
            spans = self._finder.end_run()
            self._since_utc_ns = self._last_utc_ns = utc_ns
            return spans
        stretch = Stretch(self._last_utc_ns, utc_ns, power, quiet_power)
        self._last_utc_ns = utc_ns
        return self._finder.add(stretch)

    def flush(self) -> list[LevelSpan]:
        """End what is open: no value follows, or only after a gap."""
        self._last_utc_ns = None
        return self._finder.end_run()


def _power_of(level_db: float) -> float:
    if not abs(level_db) <= GREATEST_LEVEL_DB:  # NaN compares false
        raise ValueError(f"level {level_db} dB: expected a number between -300 and 300")
    return to_power(level_db)
