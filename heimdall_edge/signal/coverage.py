"""What a receiver may claim to have listened to: each stretch of each channel once, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from heimdall_edge.signal.detect import GREATEST_JUMP_NS, Heed
from heimdall_edge.types import IQBlock, Listening, ReceiverInfo


class Coverage:
    """Turns how far the channels are decided into stretches of time that follow each other.

    Parameters
    ----------
    gain_db
        The receiver's fixed gain, where its blocks do not say.
    has_level
        Whether silence says how weak a transmission must have been; not with automatic gain.
    """

    def __init__(self, *, gain_db: float | None, has_level: bool) -> None:
        self._gain_db = gain_db
        self._has_level = has_level
        self._decided_utc_ns: dict[str, int] = {}

    def extend(
        self, heeds: Iterable[Heed], block: IQBlock, receiver: ReceiverInfo
    ) -> Iterator[Listening]:
        """Give what is decided since, one Listening for all channels of the same stretch."""
        stretches: dict[tuple[int, int], dict[str, float]] = {}
        for channel, since_utc_ns, until_utc_ns, limit_dbfs in heeds:
            decided_utc_ns = self._decided_utc_ns.get(channel, since_utc_ns)
            if until_utc_ns < decided_utc_ns - GREATEST_JUMP_NS:  # the clock was set back
                decided_utc_ns = since_utc_ns
            from_utc_ns = max(since_utc_ns, decided_utc_ns)
            if until_utc_ns > from_utc_ns:
                self._decided_utc_ns[channel] = until_utc_ns
                limits = stretches.setdefault((from_utc_ns, until_utc_ns), {})
                limits[channel] = limit_dbfs if self._has_level else math.inf
        for (start_utc_ns, end_utc_ns), limits in stretches.items():
            yield Listening(
                receiver=replace(receiver, place=block.place) if block.place else receiver,
                start_utc_ns=start_utc_ns,
                end_utc_ns=end_utc_ns,
                limit_dbfs=limits,
                gain_db=self._gain_db if block.gain_db is None else block.gain_db,
                full_scale_dbm=block.full_scale_dbm if self._has_level else None,
            )
