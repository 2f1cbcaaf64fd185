"""When each sample was at the antenna, and which samples never came.

::

    arrived(n, when) ─▶ lateness ─▶ LatenessWatch ─▶ lost samples
                            │             └─ quiet windows ─▶ Crystal ─▶ ppm ± σ
                            └─▶ time of a sample = nominal + level − drift ─▶ UTC stamp

For receivers whose samples carry no time of their own: USB dongles, rtl_tcp, SpyServer. All counts
and instants are integers, so that a year of samples is as exact as the first second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from heimdall_edge.sources.crystal import Crystal
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.lateness import LatenessWatch
from heimdall_edge.sources.utc_offset import UtcOffset
from heimdall_edge.types import NS_PER_S, ClockSource, ClockState, FrequencyError

DISCIPLINED_PPM, FREE_PPM = 1.0, 30.0
"""σ of the host's own frequency: steered by a time server; a free quartz of a computer."""
KNOWN_PPM = 20.0
"""The crystal's error is told once its own σ is less than that."""
MOST_PPM = 300.0
SLEW = 0.15
"""The most that stamps run fast or slow while the level is being found, as a share of time."""
SLEW_TIME_S = 2.0
STEP_TOLD_S = 10.0
"""After a step of the host's clock its stamps are not called locked for so long."""


@dataclass(frozen=True, slots=True)
class SamplePath:
    """What samples pass through on their way to the host."""

    latency_sigma_s: float
    """Standard deviation of the least time it takes, which nobody measures."""
    least_loss_s: float
    """A rise of that least time by less is not taken for a loss."""
    wander_s: float
    """What it changes by within a second, as a random walk (σ)."""


USB = SamplePath(latency_sigma_s=0.005, least_loss_s=0.010, wander_s=2e-6)
"""A device at this host."""
NETWORK = SamplePath(latency_sigma_s=0.030, least_loss_s=0.040, wander_s=1e-4)
"""A server: routes change, and queues stand for minutes."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a chunk of samples."""

    sample_start: int
    """Index of its first sample since the clock was made; lost samples count too."""
    start_utc_ns: int
    """When its first sample was at the antenna."""
    lost_samples: int
    """Just before it: those that were known of, and those that the clock found."""
    clock: ClockState
    """Of its stamp: at best ``ntp``, for it is the host that stamps."""
    frequency_error: FrequencyError | None
    """``None`` until it has been watched for a minute or so."""


class SampleClock:
    """Counts and stamps the samples of one receiver, chunk by chunk.

    Limits, as ``benchmarks/sample_clock.py`` measures them (2.4 Msps, jitter of its four models):
    on a :data:`USB` path losses of 15 ms and more are found, on a :data:`NETWORK` path those of
    45 ms, 99 in 100 of them, within 6 s; in the first 20 s of a timing those of 50 ms. None was
    found that was not there in 48 hours of each. A stall that stands at one lateness for 3.5 s
    looks like a loss, and so does a way that gets longer for good. docs/time.md says more.

    Parameters
    ----------
    sample_rate_hz
        Nominal, as the divider gives it.
    host
        The host's clocks.
    path
        :data:`USB` or :data:`NETWORK`; the latter is right for both, but blind to small losses.
    """

    def __init__(
        self, *, sample_rate_hz: float, host: HostTime, path: SamplePath = NETWORK
    ) -> None:
        if not (math.isfinite(sample_rate_hz) and sample_rate_hz > 0):
            raise ValueError(f"sample rate {sample_rate_hz} Hz: expected a positive number")
        self._rate, self._rate_scale = sample_rate_hz.as_integer_ratio()
        self._host = host
        self._path = path
        self._offset = UtcOffset(utc_ns=host.utc_ns, monotonic_ns=host.monotonic_ns)
        self._count = 0  # samples so far, lost ones too
        self._epoch_ns: int | None = None  # monotonic, of the first chunk
        self._crystal = Crystal(path_wander_s=path.wander_s)
        self._watch = LatenessWatch(least_loss_s=path.least_loss_s)
        self._drift_s = 0.0  # what the crystal has gained since the first sample
        self._drift_at_ns = 0
        self._level_s = -math.inf  # lateness that the stamps are made with
        self._is_anchored = False
        self._restart_ns: int | None = None
        self._stepped_ns: int | None = None

    @property
    def n_steps(self) -> int:
        """Steps of the host's UTC that the stamps have followed."""
        return self._offset.n_steps

    def restart(self, monotonic_ns: int) -> None:
        """Samples pause (a retuning): from what arrives after that instant, timing is found anew.

        The count goes on, and so does what is known of the crystal.
        """
        self._restart_ns = monotonic_ns

    def arrived(self, n_samples: int, monotonic_ns: int, *, lost_samples: int = 0) -> Arrival:
        """Take a chunk.

        Parameters
        ----------
        n_samples
            In the chunk.
        monotonic_ns
            When its last byte was at hand.
        lost_samples
            Known to be lost just before it.
        """
        if n_samples < 0 or lost_samples < 0:
            raise ValueError(f"{n_samples} samples, {lost_samples} lost: expected no negative one")
        if self._epoch_ns is None:
            self._epoch_ns = monotonic_ns
        if self._restart_ns is not None and monotonic_ns >= self._restart_ns:
            self._forget_timing()
        found = self._look(self._count + lost_samples, n_samples, monotonic_ns)
        start = self._count + lost_samples + found
        self._count = start + n_samples
        return Arrival(
            sample_start=start,
            start_utc_ns=self._stamp_ns(start),
            lost_samples=lost_samples + found,
            clock=self._clock(monotonic_ns),
            frequency_error=self._frequency_error(),
        )

    # ── time ──────────────────────────────────────────────────────────────────────────────

    def _nominal_ns(self, count: int) -> int:
        """When a sample ends after the first began, at the nominal rate."""
        return count * NS_PER_S * self._rate_scale // self._rate

    def _look(self, start: int, n_samples: int, monotonic_ns: int) -> int:
        """Samples that are found lost, now that those from ``start`` on are at hand."""
        assert self._epoch_ns is not None
        start_ns, end_ns = self._nominal_ns(start), self._nominal_ns(start + n_samples)
        elapsed_s = (start_ns - self._drift_at_ns) / NS_PER_S
        self._drift_s += self._ppm * 1e-6 * elapsed_s
        self._drift_at_ns = start_ns
        drift_s = self._drift_s + self._ppm * 1e-6 * (end_ns - start_ns) / NS_PER_S
        lateness_s = (monotonic_ns - self._epoch_ns - end_ns) / NS_PER_S
        lost_s = self._watch.note(monotonic_ns / NS_PER_S, lateness_s + drift_s)
        if lost_s:
            self._crystal.forget_lateness()
        elif (quiet := self._watch.newest) is not None:
            self._watch.newest = None
            self._crystal.note(
                monotonic_ns / NS_PER_S,
                quiet.residual_s - drift_s,
                scatter_s=self._watch.scatter_s,
            )
        self._follow_level(elapsed_s)
        return round(lost_s * self._rate / self._rate_scale)

    def _forget_timing(self) -> None:
        self._restart_ns = None
        self._watch = LatenessWatch(least_loss_s=self._path.least_loss_s)
        self._crystal.forget_lateness()
        self._is_anchored = False

    @property
    def _ppm(self) -> float:
        return min(max(self._crystal.ppm, -MOST_PPM), MOST_PPM)

    def _follow_level(self, elapsed_s: float) -> None:
        """Let the stamps' level go where the least lateness is, no faster than time allows."""
        target_s = self._watch.level_s
        assert target_s is not None
        if not self._is_anchored:  # later than what came before, where something did
            self._level_s, self._is_anchored = max(target_s, self._level_s), True
            return
        step_s = (target_s - self._level_s) * min(1.0, elapsed_s / SLEW_TIME_S)
        most_s = SLEW * elapsed_s
        self._level_s += min(max(step_s, -most_s), most_s)

    def _stamp_ns(self, start: int) -> int:
        """UTC of a sample: nominal time, the least lateness, less what the crystal gained."""
        assert self._epoch_ns is not None
        since_ns = self._nominal_ns(start) + round((self._level_s - self._drift_s) * NS_PER_S)
        before = self._offset.n_steps
        offset_ns = self._offset.read_ns()
        if self._offset.n_steps != before:
            self._stepped_ns = self._host.monotonic_ns()
        return self._epoch_ns + since_ns + offset_ns

    # ── how good ──────────────────────────────────────────────────────────────────────────

    def _clock(self, monotonic_ns: int) -> ClockState:
        host = self._host.clock
        if not host.locked or host.sigma_s is None or host.source is ClockSource.NONE:
            return ClockState()
        sigma_s = math.hypot(host.sigma_s, self._path.latency_sigma_s, self._watch.scatter_s)
        stepped_ns = self._stepped_ns
        is_fresh = stepped_ns is not None and monotonic_ns - stepped_ns < STEP_TOLD_S * NS_PER_S
        return ClockState(ClockSource.NTP, sigma_s, locked=not is_fresh)

    def _frequency_error(self) -> FrequencyError | None:
        sigma_ppm = self._crystal.sigma_ppm
        if sigma_ppm > KNOWN_PPM:
            return None
        host_ppm = DISCIPLINED_PPM if self._host.clock.locked else FREE_PPM
        return FrequencyError(self._crystal.ppm, math.hypot(sigma_ppm, host_ppm))
