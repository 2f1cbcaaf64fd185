"""One receiver's tape: runs all the time, and is cut where something was heard.

::

    block(IQBlock) ──▶ BlockRing ──────────┐ when what follows a burst has come in
    burst(Observation) ─▶ open cuts ───────┴─▶ Clip ─▶ whoever writes it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heimdall_edge.config import Channel
from heimdall_edge.config_capture import Capture
from heimdall_edge.evidence.clip import Clip
from heimdall_edge.evidence.ring import BlockRing
from heimdall_edge.types import NS_PER_S, ChannelSpec, IQBlock, Observation, ReceiverInfo

REPORTED_WITHIN_S = 1.0
"""A burst is known at the latest so long after its end and its hang time."""
EDGE_S = 0.1
"""A start that is missing by less is not: whole blocks are kept, and filters need their time."""
MAX_OPEN_CUTS = 256


@dataclass(slots=True)
class _Cut:
    """A span that will be cut out once it has passed."""

    channels: dict[str, ChannelSpec]
    """Name → where it was when it was heard: a reload may move it."""
    center_hz: float | None
    """What the receiver was tuned to; None where no block of it is at hand any more."""
    start_utc_ns: int
    end_utc_ns: int
    observations: list[Observation]


class Tape:
    """Keeps what a rule asks for; used by the receiver's worker alone, and never waits.

    Parameters
    ----------
    receiver
        Whose samples it keeps.
    channels
        Those that the receiver watches; :meth:`follow` exchanges them.
    capture
        What to keep.
    deliver
        Takes a finished clip; must not wait.
    count
        Told the reason for each transmission that is kept in part, or not at all.
    """

    def __init__(
        self,
        *,
        receiver: ReceiverInfo,
        channels: Sequence[Channel],
        capture: Capture,
        deliver: Callable[[Clip], object],
        count: Callable[[str], object],
    ) -> None:
        self._receiver, self._capture = receiver, capture
        self._deliver, self._count = deliver, count
        self._longest_s = capture.before_s + capture.max_burst_s + capture.after_s
        self._ring = BlockRing(max_bytes=capture.ring_max_bytes, max_age_s=self._longest_s)
        self._channels: Mapping[str, ChannelSpec] = {}
        self.follow(channels)
        self._cuts: list[_Cut] = []

    def follow(self, channels: Sequence[Channel]) -> None:
        """Go on with other channels; from any thread."""
        hang_s = max((channel.hang_s for channel in channels), default=0.0)
        self._ring.max_age_s = self._longest_s + hang_s + REPORTED_WITHIN_S
        self._channels = {channel.name: channel.spec for channel in channels}

    def block(self, block: IQBlock) -> None:
        """Take the next block, and cut out what has passed by it."""
        self._ring.append(block)
        for cut in [c for c in self._cuts if c.end_utc_ns <= block.end_utc_ns]:
            self._finish(cut)

    def burst(self, observation: Observation) -> None:
        """Take what was heard: if the rule wants it, it will be cut out when its end is in."""
        if not self._is_wanted(observation):
            return
        spec = self._channels.get(observation.channel)
        if spec is None:
            self._count("no_channel")
            return
        capture = self._capture
        start = observation.start_utc_ns - round(capture.before_s * NS_PER_S)
        heard_s = min(observation.duration_s, capture.max_burst_s)
        end = observation.start_utc_ns + round((heard_s + capture.after_s) * NS_PER_S)
        center_hz = self._center_hz(observation)
        near = (c for c in self._cuts if c.center_hz == center_hz)
        cut = next((c for c in near if self._shares(c, spec, start, end)), None)
        if cut is None:
            self._cuts.append(_Cut({spec.name: spec}, center_hz, start, end, [observation]))
        else:
            cut.start_utc_ns = min(start, cut.start_utc_ns)
            cut.end_utc_ns = max(end, cut.end_utc_ns)
            cut.channels[spec.name] = spec
            cut.observations.append(observation)
        if len(self._cuts) > MAX_OPEN_CUTS:  # clocks that jumped back: their ends never come
            self._finish(self._cuts[0])

    def end(self) -> None:
        """Cut out what is open: no block will follow."""
        for cut in list(self._cuts):
            self._finish(cut)

    def _center_hz(self, observation: Observation) -> float | None:
        blocks = self._ring.between(observation.start_utc_ns, observation.end_utc_ns)
        return blocks[0].center_freq_hz if blocks else None

    def _shares(self, cut: _Cut, spec: ChannelSpec, start_utc_ns: int, end_utc_ns: int) -> bool:
        """Whether a channel's burst with its surroundings goes into a cut that is open."""
        is_near = start_utc_ns <= cut.end_utc_ns and end_utc_ns >= cut.start_utc_ns
        lasts_ns = max(end_utc_ns, cut.end_utc_ns) - min(start_utc_ns, cut.start_utc_ns)
        is_known = cut.channels.get(spec.name) == spec
        is_new = self._capture.scope == "band" and spec.name not in cut.channels
        return is_near and lasts_ns <= self._longest_s * NS_PER_S and (is_known or is_new)

    def _is_wanted(self, observation: Observation) -> bool:
        capture = self._capture
        snr_db = -math.inf if observation.snr_db is None else observation.snr_db
        return (
            observation.heard
            and (capture.channels is None or observation.channel in capture.channels)
            and (capture.min_snr_db is None or snr_db >= capture.min_snr_db)
            and observation.duration_s >= capture.min_duration_s
        )

    def _finish(self, cut: _Cut) -> None:
        self._cuts.remove(cut)
        observations = sorted(cut.observations, key=lambda o: (o.start_utc_ns, o.observation_id))
        blocks = self._ring.between(cut.start_utc_ns, cut.end_utc_ns)
        blocks = _alike([b for b in blocks if b.center_freq_hz == cut.center_hz])
        if not blocks:
            self._count("no_samples")
            return
        if blocks[0].start_utc_ns > observations[0].start_utc_ns + EDGE_S * NS_PER_S:
            self._count("no_start")
        whole_band = self._capture.scope == "band"
        channels = tuple(cut.channels.values())
        self._deliver(Clip(self._receiver, channels, whole_band, blocks, tuple(observations)))


def _alike(blocks: Sequence[IQBlock]) -> tuple[IQBlock, ...]:
    """Those of the last one's rate and format: a receiver may have been opened anew."""
    return tuple(
        block
        for block in blocks
        if block.datatype == blocks[-1].datatype
        and math.isclose(block.sample_rate_hz, blocks[-1].sample_rate_hz, rel_tol=1e-6)
    )
