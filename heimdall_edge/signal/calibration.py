"""What a receiver's gain really is, and what its full scale is worth at the antenna.

::

    IQBlock ─▶ Calibrator.applied ─▶ IQBlock with its true gain, and dBm where they are known

A level leaves the chain in dBFS, with the gain that was in force: the difference compares between
receivers of one kind. A driver's gain is a label (on R82xx tuners up to some dB off, between steps
too), so a measured table may say what each step does; one level measured at the antenna makes all
of them absolute. docs/calibration.md says how to measure both.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from heimdall_edge.config_receivers import Calibration, GainStep
from heimdall_edge.types import IQBlock


class Calibrator:
    """Applies a receiver's calibration to its blocks.

    Parameters
    ----------
    calibration
        As configured.
    gain_db
        The gain that was set, where the blocks do not say which is in force.
    is_automatic
        The gain is, and may be anything: nothing is known of the level.
    """

    def __init__(
        self, calibration: Calibration, *, gain_db: float | None = None, is_automatic: bool = False
    ) -> None:
        self._calibration = calibration
        self._gain_db = gain_db
        self._is_automatic = is_automatic

    def applied(self, block: IQBlock) -> IQBlock:
        """The block with its true gain and full scale; itself, where there is nothing to say.

        Where the configuration gives no full scale, the source's own word on it stands.
        """
        if self._is_automatic:
            return self._said(block, gain_db=block.gain_db, full_scale_dbm=None)
        set_db = self._gain_db if block.gain_db is None else block.gain_db
        gain_db = None if set_db is None else true_gain_db(self._calibration.gain_steps, set_db)
        full_scale_dbm = self._calibration.full_scale_dbm
        if full_scale_dbm is None:
            return self._said(block, gain_db=gain_db, full_scale_dbm=block.full_scale_dbm)
        return self._said(block, gain_db=gain_db, full_scale_dbm=full_scale_dbm - (gain_db or 0.0))

    @staticmethod
    def _said(block: IQBlock, *, gain_db: float | None, full_scale_dbm: float | None) -> IQBlock:
        if (gain_db, full_scale_dbm) == (block.gain_db, block.full_scale_dbm):
            return block
        return replace(block, gain_db=gain_db, full_scale_dbm=full_scale_dbm)


def true_gain_db(steps: Sequence[GainStep], set_db: float) -> float:
    """What a set gain does in truth.

    Straight between two measured steps, the nearest one's beyond them; what was set, where nothing
    was measured.
    """
    if not steps or not math.isfinite(set_db):
        return set_db
    after = bisect_left(steps, set_db, key=lambda step: step.set_db)
    if after in {0, len(steps)}:
        return steps[min(after, len(steps) - 1)].true_db
    below, above = steps[after - 1], steps[after]
    share = (set_db - below.set_db) / (above.set_db - below.set_db)
    return below.true_db + share * (above.true_db - below.true_db)
