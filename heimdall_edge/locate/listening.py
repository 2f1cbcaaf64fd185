"""What a receiver's silence says: how far it has decided, and that it listened all the while."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256

from heimdall_edge.types import NS_PER_S, Listening, Observation, ReceiverInfo, Scene

MAX_INTERVALS = 4096
MAX_HEARD = 256
LONGEST_INTERVAL_NS = 10 * NS_PER_S
SAME_LIMIT_DB = 1.0
TOUCHING_NS = 1_000  # rounding of instants, never a lost sample

SHORT_NS = NS_PER_S
"""A transmission of less may leave too little to report, where a part of it was missed."""
EDGE_NS = 1_000_000
"""Windows of one grid end this near to each other: whole samples of several receivers."""

NOT_YET = -(2**63)


@dataclass(slots=True)
class _Interval:
    start_utc_ns: int
    end_utc_ns: int
    limit_dbfs: float
    gain_db: float | None
    full_scale_dbm: float | None

    @property
    def limit_dbm(self) -> float | None:
        limit_dbm = self.limit_dbfs + (self.full_scale_dbm or 0.0)
        return None if self.full_scale_dbm is None or math.isinf(limit_dbm) else limit_dbm


@dataclass(slots=True)
class Listener:
    """One receiver on one channel; remembers a bounded number of intervals."""

    channel: str
    receiver: ReceiverInfo | None = None
    """As it was last; ``None`` before it has listened."""
    decided_utc_ns: int = NOT_YET
    """Whatever it heard that starts before this has been given."""
    tells_progress: bool = False
    """Whether it says how far it has decided, or will; else all it gives is observations."""
    has_ended: bool = False
    """Nothing more will come: nobody waits for it."""
    spoke_utc_ns: int = NOT_YET
    """Start of its latest observation."""
    least_duration_s: float = 0.0
    """Its silence says nothing of what is shorter."""
    _listened: deque[_Interval] = field(default_factory=lambda: deque(maxlen=MAX_INTERVALS))
    _heard: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_HEARD))

    def listened(self, listening: Listening) -> None:
        """Take note of another interval; adjoining ones of about one limit become one."""
        self.receiver = listening.receiver
        self.least_duration_s = listening.least_duration_s
        self.tells_progress, self.has_ended = True, False
        self.decided_utc_ns = max(self.decided_utc_ns, listening.end_utc_ns)
        limit_dbfs = listening.limit_dbfs[self.channel]
        last = self._listened[-1] if self._listened else None
        if (
            last is not None
            and abs(listening.start_utc_ns - last.end_utc_ns) <= TOUCHING_NS
            and listening.end_utc_ns - last.start_utc_ns <= LONGEST_INTERVAL_NS
            and abs(limit_dbfs - last.limit_dbfs) <= SAME_LIMIT_DB
            and listening.gain_db == last.gain_db
            and listening.full_scale_dbm == last.full_scale_dbm
        ):
            last.end_utc_ns = listening.end_utc_ns
            last.limit_dbfs = max(last.limit_dbfs, limit_dbfs)
        else:
            start, end = listening.start_utc_ns, listening.end_utc_ns
            gain_db, full_scale_dbm = listening.gain_db, listening.full_scale_dbm
            self._listened.append(_Interval(start, end, limit_dbfs, gain_db, full_scale_dbm))

    def spoke(self, observation: Observation) -> None:
        """Take note how far it has come, and that it was not silent then."""
        self.spoke_utc_ns = max(self.spoke_utc_ns, observation.start_utc_ns)
        if observation.heard:
            self._heard.append((observation.start_utc_ns, observation.end_utc_ns))

    def forget_times(self) -> None:
        """The clock was set: what was listened to and heard before cannot be compared any more."""
        self.decided_utc_ns = self.spoke_utc_ns = NOT_YET
        self._listened.clear()
        self._heard.clear()

    def silence(self, scene: Scene, *, min_share: float) -> Observation | None:
        """That it listened through a scene and heard nothing; ``None`` where nobody can say that.

        Its limit is the highest that it had in that time, so that no more is claimed than holds.
        Of a short one it must have listened to all: had it come or gone in between (a scan, lost
        samples), what it got might have been too short for it to report.
        """
        start, end = scene.start_utc_ns, scene.end_utc_ns
        if scene.duration_s < self.least_duration_s:
            return None
        if self.receiver is None or any(s < end and e > start for s, e in self._heard):
            return None
        during = [i for i in self._listened if i.start_utc_ns < end and i.end_utc_ns > start]
        if not during:
            return None
        span_ns = end - start
        needed_ns = span_ns - EDGE_NS if span_ns < SHORT_NS else min_share * span_ns
        if _covered_ns(during, start, end) < needed_ns:
            return None
        worst = max(during, key=lambda i: i.limit_dbfs - (i.gain_db or 0.0))
        said = f"{self.receiver.key} {self.channel} {start} silent"
        return Observation(
            observation_id=sha256(said.encode()).hexdigest()[:16],
            receiver=self.receiver,
            channel=self.channel,
            frequency_hz=scene.frequency_hz,
            start_utc_ns=start,
            duration_s=scene.duration_s,
            noise_floor_dbfs=worst.limit_dbfs if math.isfinite(worst.limit_dbfs) else None,
            noise_floor_dbm=worst.limit_dbm,
            heard=False,
            gain_db=worst.gain_db,
        )


def _covered_ns(intervals: list[_Interval], start: int, end: int) -> int:
    """How much of a span lies in any of them: a clock that stepped back may make two overlap."""
    covered_ns, reached = 0, start
    for interval in sorted(intervals, key=lambda i: i.start_utc_ns):
        stop = min(interval.end_utc_ns, end)
        covered_ns += max(0, stop - max(interval.start_utc_ns, reached))
        reached = max(reached, stop)
    return covered_ns
