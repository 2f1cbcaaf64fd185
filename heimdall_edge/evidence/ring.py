"""The last seconds of one receiver's raw blocks: what a burst's start is taken from."""

from __future__ import annotations

from collections import deque

from heimdall_edge.types import NS_PER_S, IQBlock


class BlockRing:
    """Blocks by reference, oldest out first; bounded in bytes and in time.

    Parameters
    ----------
    max_bytes
        Of samples; the newest block stays, whatever its size.
    max_age_s
        Between the end of the oldest and that of the newest; may be set anew.
    """

    def __init__(self, *, max_bytes: int, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._blocks: deque[IQBlock] = deque()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """What it holds."""
        return self._n_bytes

    def append(self, block: IQBlock) -> None:
        """Take the next block, and let go of what is too old by it."""
        self._blocks.append(block)
        self._n_bytes += block.samples.nbytes
        oldest_ns = block.end_utc_ns - round(self.max_age_s * NS_PER_S)
        while len(self._blocks) > 1 and (
            self._n_bytes > self._max_bytes or self._blocks[0].end_utc_ns < oldest_ns
        ):
            self._n_bytes -= self._blocks.popleft().samples.nbytes

    def between(self, start_utc_ns: int, end_utc_ns: int) -> tuple[IQBlock, ...]:
        """The blocks that have a part of that span, in their order."""
        return tuple(
            block
            for block in self._blocks
            if block.start_utc_ns < end_utc_ns and block.end_utc_ns > start_utc_ns
        )
