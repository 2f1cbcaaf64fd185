"""A series of levels, in seconds since a whole multiple of 5 s and of 4 s in UTC."""

from __future__ import annotations

from heimdall_edge.signal.levels import LevelTracker
from heimdall_edge.types import NS_PER_S

START = 1_790_000_000 * NS_PER_S
PERIOD_S = 0.1


def at(seconds: float) -> int:
    return START + round(seconds * NS_PER_S)


class Series:
    """A channel that is noise at -90 dB, but for what is said of it."""

    def __init__(self, tracker: LevelTracker, *, noise_db: float = -90.0) -> None:
        self.tracker, self.noise_db = tracker, noise_db
        self.now_s = 0.0
        self.spans = []

    def until(self, end_s: float, level_db: float | None = None, **more) -> Series:
        level_db = self.noise_db if level_db is None else level_db
        while self.now_s < end_s - 1e-9:
            self.now_s = round(self.now_s + PERIOD_S, 6)
            self.spans += self.tracker.add(at(self.now_s), level_db, **more)
        return self


def seconds(span) -> tuple[float, float]:
    return (span.start_utc_ns - START) / 1e9, (span.end_utc_ns - START) / 1e9
