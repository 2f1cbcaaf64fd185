"""A receiver that hops over several centres.

::

    ┌ dwell on A ──────┐hop┌ dwell on B ──────┐hop┌ dwell on A …
    block block … block tune·· block … block   tune·· block …        ·· settling: discarded

It wraps any source that is :class:`~heimdall_edge.sources.base.Tunable`. Blocks are the inner
source's own, so that none holds two centres; each says which one it is of. What is between two
dwells is a gap in ``sample_start``, counted as ``discarded_samples``: whoever works on a centre's
blocks sees when nobody listened there.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from heimdall_edge.config_receivers import Scan
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import IQSource, Tunable
from heimdall_edge.types import NS_PER_S, IQBlock


class ScanSource:
    """An :class:`~heimdall_edge.sources.base.IQSource` round another one, which it tunes.

    Parameters
    ----------
    inner
        Opens on the first of the centres; must be ``Tunable``.
    centers_hz
        In the order of the hops; after the last comes the first.
    dwell_s
        Least time on each, in the time that the samples themselves tell, whole blocks of it: at
        2.4 Msps it is up to 27 ms longer.
    settle_s
        After a hop, so much is thrown away in all, by the inner source or else here.

    Raises
    ------
    SourceDataError
        The inner source cannot be tuned while it runs.
    """

    def __init__(
        self, inner: IQSource, *, centers_hz: Sequence[float], dwell_s: float, settle_s: float
    ) -> None:
        if not isinstance(inner, Tunable):
            name = type(inner).__name__
            raise SourceDataError(f"{name} cannot be tuned while it runs: expected no [scan]")
        self._inner: IQSource = inner
        self._tuner: Tunable = inner
        self._centers_hz = tuple(centers_hz)
        self._dwell_s, self._settle_s = dwell_s, settle_s
        self._closed = threading.Event()

    @classmethod
    def of(cls, inner: IQSource, scan: Scan) -> ScanSource:
        """The source that a receiver's ``scan`` table asks for."""
        return cls(inner, centers_hz=scan.centers_hz, dwell_s=scan.dwell_s, settle_s=scan.settle_s)

    @property
    def may_wait(self) -> bool:
        return self._inner.may_wait

    @property
    def progress(self) -> float:
        return self._inner.progress

    @property
    def device(self) -> str | None:
        device = self._inner.device
        return device and f"{device}, scans {len(self._centers_hz)} centres"

    def open(self) -> None:
        self._inner.open()

    def blocks(self) -> Iterator[IQBlock]:
        centers_hz = cycle(self._centers_hz)
        next(centers_hz)
        settling, dwell_from = _Settling(until=0), None
        for block in self._inner.blocks():
            settled = settling.rest_of(block)
            if settled is None:
                continue
            yield settled
            dwell_from = settled.sample_start if dwell_from is None else dwell_from
            end = block.sample_start + block.n_samples
            if end - dwell_from >= self._dwell_s * block.sample_rate_hz:
                if not self._hop(next(centers_hz)):
                    return
                unsettled = math.ceil(self._settle_s * block.sample_rate_hz)
                settling, dwell_from = _Settling(until=end + unsettled), None

    def close(self) -> None:
        self._closed.set()
        self._inner.close()

    def _hop(self, center_freq_hz: float) -> bool:
        """Tune; False where it was closed, whatever the device then says of it."""
        try:
            if not self._closed.is_set():
                self._tuner.tune(center_freq_hz)
        except SourceError:
            if not self._closed.is_set():
                raise
        return not self._closed.is_set()


@dataclass(slots=True)
class _Settling:
    """Cuts off what was sampled while the tuner settled, and counts it on what comes next."""

    until: int
    """Index of the first sample that is good."""
    lost: int = 0
    dropped: int = 0
    discarded: int = 0

    def rest_of(self, block: IQBlock) -> IQBlock | None:
        """The good samples of a block, with the counts of all since the hop; None if it has none.

        What passed unseen since the hop counts as settling too: the inner source's own discards.
        """
        n_cut = min(max(0, self.until - block.sample_start), block.n_samples)
        self.lost += block.lost_samples
        self.dropped += block.dropped_samples
        self.discarded += block.discarded_samples + n_cut
        if n_cut == block.n_samples:
            return None
        rest = replace(
            block,
            samples=block.samples[2 * n_cut :],
            sample_start=block.sample_start + n_cut,
            start_utc_ns=block.start_utc_ns + round(n_cut * NS_PER_S / block.sample_rate_hz),
            lost_samples=self.lost,
            dropped_samples=self.dropped,
            discarded_samples=self.discarded,
        )
        self.lost = self.dropped = self.discarded = 0
        return rest
