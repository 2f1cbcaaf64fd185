"""UTC less monotonic time on one host: constant, but for steps.

The kernel slews both clocks alike, so their difference changes only where somebody steps UTC (or a
leap second does). Two clocks cannot be read at once: UTC between two monotonic readings gives an
interval that the difference lies in for certain, and what is known moves only when it must.
"""

from __future__ import annotations

from collections.abc import Callable

from heimdall_edge.types import NS_PER_S

LEAST_STEP_NS = NS_PER_S // 4
"""What is counted as a step; less than that is followed, and not spoken of."""
TIGHT_NS, ATTEMPTS = 20_000, 3


class UtcOffset:
    """Follows ``utc_ns() - monotonic_ns()``.

    Parameters
    ----------
    utc_ns, monotonic_ns
        The host's clocks.
    """

    def __init__(self, *, utc_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> None:
        self._utc_ns, self._monotonic_ns = utc_ns, monotonic_ns
        self._offset_ns: int | None = None
        self.n_steps = 0
        """Steps of 0.25 s or more so far."""
        self.last_step_ns = 0
        """The size of the latest one; positive where UTC jumped ahead."""

    def read_ns(self) -> int:
        """The difference now."""
        least_ns, most_ns = self._interval()
        before_ns = self._offset_ns
        if before_ns is None:
            self._offset_ns = (least_ns + most_ns) // 2
            return self._offset_ns
        self._offset_ns = min(max(before_ns, least_ns), most_ns)
        moved_ns = self._offset_ns - before_ns
        if abs(moved_ns) >= LEAST_STEP_NS:
            self.n_steps += 1
            self.last_step_ns = moved_ns
        return self._offset_ns

    def _interval(self) -> tuple[int, int]:
        """Least and greatest that the difference can be; a thread switch in between widens it."""
        best = (0, 0)
        for attempt in range(ATTEMPTS):
            before_ns, utc_ns, after_ns = self._monotonic_ns(), self._utc_ns(), self._monotonic_ns()
            found = (utc_ns - after_ns, utc_ns - before_ns)
            if attempt == 0 or found[1] - found[0] < best[1] - best[0]:
                best = found
            if best[1] - best[0] <= TIGHT_NS:
                break
        return best
