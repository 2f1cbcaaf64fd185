"""Finds samples that were lost without a word, in how late the others come.

::

    lateness of each chunk      ·  :  ·      ·   (a stall that catches up: no loss)
    (arrival − nominal time,   : ··:· ··· ··:·:·        ·:··:· ·:·
     crystal's error taken out) ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  ▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔  ◀ the least moved up for good:
                                 least lateness                       so much was lost

Delays only ever add: the least lateness within some seconds stays where it is through jitter,
bursts and stalls, and rises only where samples are missing.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

BIN_S = 0.5
CONFIRM_BINS, MOST_CONFIRM_BINS = 7, 60
"""A rise must last through so many bins that hold samples: 3.5 s."""
HISTORY_WINDOWS, SETTLED_WINDOWS = 17, 5
FIRST_LEAST_LOSS_S, LEAST_LOSS_S = 0.040, 0.005
"""The least loss that is reported: in the first 20 s, and once the scatter is known."""
LOSS_SCATTERS = 8.0
FALLING_SHARE = 0.25
"""Of the least reported loss: falling more than that within the window is catching up."""
FALSE_LOSS_WITHIN_S = 300.0
UNKNOWN_SCATTER_S = 0.005


@dataclass(frozen=True, slots=True)
class Level:
    """The least lateness of a quiet window."""

    at_s: float
    residual_s: float


class LatenessWatch:
    """Takes each chunk's lateness; says what was lost.

    All in seconds: ``at_s`` on the monotonic clock, ``residual_s`` is lateness with the crystal's
    error taken out. Losses that are reported are taken out of the residuals by the caller.
    """

    def __init__(self) -> None:
        self._bins: deque[float] = deque(maxlen=MOST_CONFIRM_BINS)
        self._bin_number: int | None = None
        self._bin_least_s = 0.0
        self._quiet: deque[float] = deque(maxlen=HISTORY_WINDOWS)
        self._fresh_bins = 0
        self._confirm_bins = CONFIRM_BINS
        self._lost_at_s: float | None = None
        self._level_s: float | None = None
        self.scatter_s = UNKNOWN_SCATTER_S
        """Standard deviation of a quiet window's least residual."""
        self.least_loss_s = FIRST_LEAST_LOSS_S
        """The least loss that would be found now."""
        self.newest: Level | None = None
        """The latest quiet window, once for each; the caller takes it away."""

    @property
    def level_s(self) -> float | None:
        """The residual of a sample that nothing delayed; ``None`` before the first chunk."""
        return self._level_s

    def note(self, at_s: float, residual_s: float) -> float:
        """Take a chunk's; return the seconds of samples that are found lost, mostly 0."""
        if self._level_s is None:
            self._level_s = residual_s
        lost_s = 0.0
        number = int(at_s // BIN_S)
        if number != self._bin_number:
            if self._bin_number is not None:
                lost_s = self._end_bin(at_s)
            self._bin_number, self._bin_least_s = number, residual_s - lost_s
        self._bin_least_s = min(self._bin_least_s, residual_s - lost_s)
        if len(self._quiet) < SETTLED_WINDOWS:
            self._level_s = min(self._level_s, residual_s - lost_s)
        return lost_s

    def _end_bin(self, at_s: float) -> float:
        self._bins.append(self._bin_least_s)
        self._fresh_bins += 1
        window = list(self._bins)[-self._confirm_bins :]
        if len(window) < self._confirm_bins:
            return 0.0
        assert self._level_s is not None
        least_s = min(window)
        excess_s, limit_s = least_s - self._level_s, self.least_loss_s
        if excess_s > limit_s:
            if self._is_falling(window, limit_s):
                return 0.0
            self._lost_at_s = at_s
            self._bins.clear()
            self._fresh_bins = 0
            return excess_s
        if excess_s < -limit_s:
            self._came_early(at_s)
        if self._fresh_bins >= CONFIRM_BINS:
            self._be_quiet(at_s, min(window[-CONFIRM_BINS:]))
        return 0.0

    def _be_quiet(self, at_s: float, least_s: float) -> None:
        """A window without a loss: the level follows it."""
        self._fresh_bins = 0
        assert self._level_s is not None
        if least_s - self._level_s > self.least_loss_s:
            return
        self._quiet.append(least_s)
        self._level_s = statistics.median(self._quiet)
        if len(self._quiet) >= SETTLED_WINDOWS:
            self.scatter_s = statistics.pstdev(self._quiet)
            self.least_loss_s = max(LEAST_LOSS_S, LOSS_SCATTERS * self.scatter_s)
        self.newest = Level(at_s, least_s)

    def _came_early(self, at_s: float) -> None:
        """Earlier than can be: the level was a late one, and a loss found on it was none."""
        if self._lost_at_s is not None and at_s - self._lost_at_s < FALSE_LOSS_WITHIN_S:
            self._confirm_bins = min(2 * self._confirm_bins, MOST_CONFIRM_BINS)
        self._quiet.clear()
        self._level_s = self._bin_least_s
        self.scatter_s, self.least_loss_s = UNKNOWN_SCATTER_S, FIRST_LEAST_LOSS_S

    @staticmethod
    def _is_falling(window: list[float], limit_s: float) -> bool:
        """Whether the lateness is on its way down: the link catches up."""
        half = len(window) // 2
        return min(window[half:]) < min(window[:half]) - FALLING_SHARE * limit_s
