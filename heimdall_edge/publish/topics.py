"""The topic tree of one station, in one place."""

from __future__ import annotations

import re

from heimdall_edge.errors import ConfigError

TOPIC_PART = r"^[-._A-Za-z0-9]{1,64}$"
"""What may stand between two slashes: no wildcard, no control character, no surprise."""


class Topics:
    """Names ``<root>/<station>/…``; a part that could mean more than itself is refused."""

    def __init__(self, *, station: str, root: str = "heimdall/v1") -> None:
        parts = [*root.split("/"), station]
        self._base = "/".join(_checked(part, "topic_root or station") for part in parts)
        self.station = station
        self.availability = f"{self._base}/availability"
        self.info = f"{self._base}/info"
        self.observation = f"{self._base}/observation"
        self.fix = f"{self._base}/fix"
        self.stats = f"{self._base}/stats"

    def receiver_state(self, receiver_id: str) -> str:
        return f"{self._base}/receivers/{_checked(receiver_id, 'receiver id')}/state"

    def fix_last(self, channel: str) -> str:
        return f"{self._base}/fix/last/{_checked(channel, 'channel')}"


def _checked(part: str, what: str) -> str:
    if not re.fullmatch(TOPIC_PART, part) or part.endswith("\n"):
        raise ConfigError(f"{what}: {part[:80]!r} cannot be part of a topic: expected {TOPIC_PART}")
    return part
