"""Lets files run at full speed, yet none of them far ahead of the others.

Radios need none of this: time keeps them together. Files that are read as fast as the workers go
would drift apart by their own speed, and a scene would wait for its slowest receiver with all that
the fast ones said since in memory. So each file waits until the slowest is near enough.
"""

from __future__ import annotations

import threading

from heimdall_edge.types import NS_PER_S


class Lockstep:
    """Where each file stands in its own recorded time; the slowest may always go on."""

    def __init__(self, *, horizon_s: float) -> None:
        self._horizon_ns = round(horizon_s * NS_PER_S)
        self._at_utc_ns: dict[str, int] = {}
        self._moved = threading.Condition()

    def join(self, name: str) -> None:
        """Take part; until it has said where it is, the others wait."""
        with self._moved:
            self._at_utc_ns[name] = -(2**63)

    def leave(self, name: str) -> None:
        """Take part no longer: it ended, failed, or was closed."""
        with self._moved:
            self._at_utc_ns.pop(name, None)
            self._moved.notify_all()

    def reach(self, name: str, utc_ns: int) -> None:
        """Say where the file is, and wait until no other is farther behind than the horizon."""
        with self._moved:
            if name not in self._at_utc_ns:
                return
            self._at_utc_ns[name] = utc_ns
            self._moved.notify_all()
            self._moved.wait_for(
                lambda: (
                    name not in self._at_utc_ns
                    or utc_ns <= min(self._at_utc_ns.values()) + self._horizon_ns
                )
            )
