"""The clocks that a publisher reads, and a third one made of both."""

from __future__ import annotations

import time
from collections.abc import Callable

from heimdall_edge.types import NS_PER_S


class Clocks:
    """UTC, which may be stepped; monotonic, which means nothing to another process; and steady."""

    def __init__(
        self,
        *,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.utc_ns = utc_ns
        self.monotonic_s = monotonic_s
        self._epoch_ns = utc_ns() - round(monotonic_s() * NS_PER_S)

    def steady_ns(self) -> int:
        """UTC at the start, and what has passed since: no step of the clock moves it."""
        return self._epoch_ns + round(self.monotonic_s() * NS_PER_S)
