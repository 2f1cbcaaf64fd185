"""The samples that are not there: lost on the way, dropped, or thrown away on purpose."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from heimdall_edge.types import NS_PER_S


@dataclass(slots=True)
class Missing:
    """What is missing before the next block; the block takes it, and it begins at zero again."""

    lost_samples: int = 0
    discarded_samples: int = 0
    dropped_samples: int = 0

    def take(self) -> Missing:
        """What is missing until now."""
        taken = replace(self)
        self.lost_samples = self.discarded_samples = self.dropped_samples = 0
        return taken


class Settling:
    """Whether what comes in was still on its way, or in an unsettled tuner, after a command.

    A server does not say when a command takes effect. What is received within one round trip and
    the tuner's own time is not used, and neither is a piece that began to come within it; nor are
    fewer samples thrown away than the tuner's time holds, should the stream itself begin late.

    Parameters
    ----------
    settle_s
        The tuner's own time.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._over_ns: int | None = None
        self._left = 0

    def begin(self, monotonic_ns: int, *, sample_rate_hz: float, round_trip_s: float = 0.0) -> None:
        """A command was sent."""
        self._over_ns = monotonic_ns + round((self._settle_s + round_trip_s) * NS_PER_S)
        self._left = math.ceil(self._settle_s * sample_rate_hz)

    def spoils(self, n_samples: int, began_monotonic_ns: int) -> bool:
        """Whether a piece of so many samples, that began to come then, is not to be used."""
        if self._over_ns is None:
            return False
        if self._left <= 0 and began_monotonic_ns >= self._over_ns:
            self._over_ns = None
            return False
        self._left -= n_samples
        return True
