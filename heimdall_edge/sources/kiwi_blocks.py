"""A live KiwiSDR's frames put together to blocks that say all that is known of them.

::

    frame ─▶ the first two: discarded
          └▶ LiveTime ─TimedFrame─▶ four at a time, none lost between ─▶ IQBlock
             LevelConstant ────────────────────── full_scale_dbm ───────────┘
"""

from __future__ import annotations

import numpy as np

from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.kiwi_frames import SoundFrame
from heimdall_edge.sources.kiwi_level import LevelConstant
from heimdall_edge.sources.kiwi_stamps import STALE_STAMPS
from heimdall_edge.sources.kiwi_time import LiveTime, TimedFrame, next_sequence
from heimdall_edge.types import IQBlock, Place, frozen_array

BLOCK_FRAMES = 4
"""0.17 s."""


class KiwiBlocks:
    """Takes frames, gives blocks; pure but for the host's clock.

    Parameters
    ----------
    nominal_rate_hz
        As the server announced it.
    gain_db
        The manual gain in force; ``None`` while it is automatic, and levels mean nothing.
    place
        Where the antenna is, where the configuration does not say so.
    """

    def __init__(
        self,
        *,
        nominal_rate_hz: float,
        center_freq_hz: float,
        gain_db: float | None,
        place: Place | None,
        host: HostTime,
    ) -> None:
        self._nominal_rate_hz, self._center_freq_hz = nominal_rate_hz, center_freq_hz
        self._gain_db, self._place, self._host = gain_db, place, host
        self._level = LevelConstant(sample_rate_hz=nominal_rate_hz)
        self._time: LiveTime | None = None
        self._n_stale = self._discarded = 0
        self._first_sequence: int | None = None
        self._group: list[TimedFrame] = []

    def take(self, frame: SoundFrame, monotonic_ns: int) -> list[IQBlock]:
        """Take a frame that was at hand at an instant; gives the blocks that are full now.

        Raises
        ------
        ValueError
            It contradicts the ones before: see :class:`~heimdall_edge.sources.kiwi_time.LiveTime`.
        """
        if self._n_stale < STALE_STAMPS:
            self._n_stale += 1
            self._discarded += frame.n_samples
            self._first_sequence = next_sequence(frame)
            return []
        self._level.take(frame)
        self._time = self._time or LiveTime(
            nominal_rate_hz=self._nominal_rate_hz,
            host=self._host,
            first_sample=self._discarded,
            first_sequence=self._first_sequence,
        )
        blocks = []
        for timed in self._time.take(frame, monotonic_ns):
            if self._group and (timed.lost_samples or _differs(timed, self._group[0])):
                blocks.append(self._block())
            self._group.append(timed)
            if len(self._group) == BLOCK_FRAMES:
                blocks.append(self._block())
        return blocks

    def _block(self) -> IQBlock:
        group, self._group = self._group, []
        discarded, self._discarded = self._discarded, 0
        first = group[0]
        datatype = first.frame.datatype
        payload = b"".join(timed.frame.payload for timed in group)
        samples = np.frombuffer(payload, ">i2" if datatype == "ci16_be" else "<i2")
        return IQBlock(
            samples=frozen_array(samples),
            datatype=datatype,
            sample_rate_hz=first.sample_rate_hz,
            center_freq_hz=self._center_freq_hz,
            sample_start=first.sample_start,
            start_utc_ns=first.start_utc_ns,
            lost_samples=first.lost_samples,
            discarded_samples=discarded,
            clock=first.clock,
            place=self._place,
            gain_db=self._gain_db,
            full_scale_dbm=None if self._gain_db is None else self._level.full_scale_dbm,
            frequency_error=first.frequency_error,
        )


def _differs(one: TimedFrame, other: TimedFrame) -> bool:
    """Whether two frames cannot share a block."""
    return one.frame.datatype != other.frame.datatype or one.clock.source != other.clock.source
