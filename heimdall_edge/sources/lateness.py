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

import math
import statistics
from collections import deque
from dataclasses import dataclass

BIN_S = 0.5
CONFIRM_BINS, MOST_CONFIRM_BINS = 7, 60
"""A rise must last through so many bins that hold samples: 3.5 s."""
FIRST_BINS = 2
"""Of them may hold samples from before a loss, and do not say how large it is."""
HISTORY_WINDOWS, SETTLED_WINDOWS = 17, 5
FIRST_LEAST_LOSS_S = 0.040
"""The least loss that is reported in the first 20 s, before the scatter is known."""
LOSS_SCATTERS = 8.0
FALLING_SHARE = 0.25
"""Of the least reported loss: falling more than that within the window is catching up."""
PLATEAU_BINS, PLATEAU_SHARE = 3, 0.5
"""So many bins within that share of the least reported loss are a plateau."""
PATIENCE_BINS = 20
FALSE_LOSS_WITHIN_S, FORGIVEN_AFTER_S = 300.0, 3600.0
"""Samples that come early so soon after a loss show that there was none; from then on a rise must
last twice as long, for an hour."""
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

    Parameters
    ----------
    least_loss_s
        Never to report less than that, however steady the path is.
    """

    def __init__(self, *, least_loss_s: float) -> None:
        self._floor_s = least_loss_s
        self._bins: deque[float] = deque(maxlen=MOST_CONFIRM_BINS)
        self._bin_number: int | None = None
        self._bin_least_s = 0.0
        self._quiet: deque[float] = deque(maxlen=HISTORY_WINDOWS)
        self._fresh_bins = self._suspect_bins = 0
        self._confirm_bins = CONFIRM_BINS
        self._lost_at_s: float | None = None
        self._fooled_at_s = -math.inf
        self._level_s: float | None = None
        self.scatter_s = UNKNOWN_SCATTER_S
        """Standard deviation of a quiet window's least residual."""
        self.least_loss_s = max(FIRST_LEAST_LOSS_S, least_loss_s)
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
            self._suspect_bins += 1
            if self._is_in_flux(window, limit_s):
                return 0.0
            return self._lost(at_s, min(window[FIRST_BINS:]) - self._level_s)
        self._suspect_bins = 0
        if excess_s < -limit_s:
            self._came_early(at_s, least_s)
        elif self._confirm_bins > CONFIRM_BINS and at_s - self._fooled_at_s > FORGIVEN_AFTER_S:
            self._confirm_bins = CONFIRM_BINS
        if self._fresh_bins >= CONFIRM_BINS:
            self._be_quiet(at_s, min(window[-CONFIRM_BINS:]))
        return 0.0

    def _lost(self, at_s: float, lost_s: float) -> float:
        self._lost_at_s = at_s
        self._bins.clear()
        self._fresh_bins = self._suspect_bins = 0
        return lost_s

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
            self.least_loss_s = max(self._floor_s, LOSS_SCATTERS * self.scatter_s)
        self.newest = Level(at_s, least_s)

    def _came_early(self, at_s: float, least_s: float) -> None:
        """Earlier than can be: the level was a late one, and a loss found on it was none."""
        if self._lost_at_s is not None and at_s - self._lost_at_s < FALSE_LOSS_WITHIN_S:
            self._confirm_bins = min(2 * self._confirm_bins, MOST_CONFIRM_BINS)
            self._fooled_at_s = at_s
        self._quiet.clear()
        self._level_s = least_s
        self.scatter_s = UNKNOWN_SCATTER_S
        self.least_loss_s = max(FIRST_LEAST_LOSS_S, self._floor_s)

    def _is_in_flux(self, window: list[float], limit_s: float) -> bool:
        """Whether the lateness still moves: the link catches up, or stalls again and again.

        A loss leaves a plateau. Where it rises on and on, samples are being lost all the time: then
        the least of it is told every now and then.
        """
        half = len(window) // 2
        if min(window[half:]) < min(window[:half]) - FALLING_SHARE * limit_s:
            return True
        recent = window[FIRST_BINS:]
        near_s = min(recent) + PLATEAU_SHARE * limit_s
        is_plateau = sum(least_s <= near_s for least_s in recent) >= PLATEAU_BINS
        return not is_plateau and self._suspect_bins < PATIENCE_BINS
