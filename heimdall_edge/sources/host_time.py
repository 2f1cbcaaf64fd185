"""The host's clocks, and how good they are.

::

    chronyd (its own protocol) ─┐
    ntpd (a client's question) ─┤
    kernel (adjtimex)          ─┼─▶ SystemTime.clock ─▶ info.clock
    timesyncd (its stamp file) ─┘          │ ceiling: "ntp"
                                           └─▶ SampleClock ─▶ Arrival.clock

``clock`` is the state of the *host's* clock. A block that the host stamps is never as good: see
:class:`~heimdall_edge.sources.sample_clock.SampleClock`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from heimdall_edge.sources.chrony import ChronyTracking, ask_chrony
from heimdall_edge.sources.kernel_clock import KernelClock, read_kernel_clock
from heimdall_edge.sources.ntp_daemon import NtpStatus, ask_ntp_daemon
from heimdall_edge.sources.utc_offset import UtcOffset
from heimdall_edge.types import NS_PER_S, ClockSource, ClockState

Answer = TypeVar("Answer")

ASK_EVERY_S = 10.0
HOLD_S = 60.0
"""A daemon that was slow to answer, once, still counts."""
TIMESYNCD_STAMP = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever it has heard a server (systemd-timesyncd.service(8))."""
TIMESYNCD_FRESH_S = 2 * 2048.0
"""Twice its longest poll interval."""
PHC2SYS_SOCKETS = (Path("/run"), "phc2sys.*")
"""linuxptp's phc2sys steers the host's clock by a PTP clock while its socket is there."""
SNTP_SIGMA_S = 0.05
"""One server asked by timesyncd: its path's asymmetry is unknown."""
LEAST_SIGMA_S = 1e-6
GNSS_REFERENCES = ("GPS", "GNSS", "PPS", "NMEA", "GAL", "GLO", "BDS", "UBX", "SBF")
"""Reference ids of satellite clocks and their pulse."""
PTP_REFERENCES = ("PHC", "PTP")
"""And of a network card's clock that PTP steers."""


class HostTime(Protocol):
    """What a source asks of its host."""

    def utc_ns(self) -> int:
        """UTC now, nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Time that no step moves; its rate is the disciplined one."""
        ...

    @property
    def clock(self) -> ClockState:
        """How good UTC is now; returns within some milliseconds."""
        ...


class _Held(Generic[Answer]):
    """Somebody's latest answer, for as long as it holds."""

    def __init__(self, ask: Callable[[], Answer | None]) -> None:
        self._ask = ask
        self._answer: Answer | None = None
        self._answered_ns = 0

    def answer(self, now_ns: int) -> Answer | None:
        answer = self._ask()
        if answer is not None or now_ns - self._answered_ns > HOLD_S * NS_PER_S:
            self._answer, self._answered_ns = answer, now_ns
        return self._answer


class SystemTime:
    """The :class:`HostTime` of the host that it runs on.

    The clock's state is asked for at most every ten seconds, by one thread; the others get the
    latest answer meanwhile.

    Parameters
    ----------
    ask_chrony, ask_ntp_daemon, read_kernel, timesyncd_stamp, ptp_sockets
        Who is asked, in this order.
    utc_ns, monotonic_ns
        The clocks.
    """

    def __init__(
        self,
        *,
        ask_chrony: Callable[[], ChronyTracking | None] = ask_chrony,
        ask_ntp_daemon: Callable[[], NtpStatus | None] = ask_ntp_daemon,
        read_kernel: Callable[[], KernelClock | None] = read_kernel_clock,
        timesyncd_stamp: Path = TIMESYNCD_STAMP,
        ptp_sockets: tuple[Path, str] = PHC2SYS_SOCKETS,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._chrony, self._ntp_daemon = _Held(ask_chrony), _Held(ask_ntp_daemon)
        self._read_kernel = read_kernel
        self._timesyncd_stamp, self._ptp_sockets = timesyncd_stamp, ptp_sockets
        self._utc_ns, self._monotonic_ns = utc_ns, monotonic_ns
        self._offset = UtcOffset(utc_ns=utc_ns, monotonic_ns=monotonic_ns)
        self._asking = threading.Lock()
        self._state = ClockState()
        self._asked_ns: int | None = None

    def utc_ns(self) -> int:
        return self._utc_ns()

    def monotonic_ns(self) -> int:
        return self._monotonic_ns()

    @property
    def clock(self) -> ClockState:
        now_ns = self._monotonic_ns()
        is_due = self._asked_ns is None or now_ns - self._asked_ns >= ASK_EVERY_S * NS_PER_S
        if is_due and self._asking.acquire(blocking=False):
            try:
                self._offset.read_ns()
                self._state = self._ask(now_ns)
                self._asked_ns = now_ns
            finally:
                self._asking.release()
        return self._state

    @property
    def n_steps(self) -> int:
        """How often UTC was stepped by 0.25 s or more, as far as ``clock`` was asked."""
        return self._offset.n_steps

    def _ask(self, now_ns: int) -> ClockState:
        tracking = self._chrony.answer(now_ns)
        if tracking is not None:
            return clock_of_chrony(tracking)
        daemon = self._ntp_daemon.answer(now_ns)
        if daemon is not None and daemon.is_synchronised:
            return clock_of_ntp_daemon(daemon)
        kernel = self._read_kernel()
        if kernel is not None:
            return clock_of_kernel(kernel, has_ptp=self._has_ptp())
        return self._clock_of_timesyncd()

    def _has_ptp(self) -> bool:
        folder, pattern = self._ptp_sockets
        return any(folder.glob(pattern))

    def _clock_of_timesyncd(self) -> ClockState:
        try:
            stamped_s = self._timesyncd_stamp.stat().st_mtime
        except OSError:
            return ClockState()
        if abs(self._utc_ns() / NS_PER_S - stamped_s) > TIMESYNCD_FRESH_S:
            return ClockState()
        return ClockState(ClockSource.NTP, SNTP_SIGMA_S, locked=True)


def clock_of_ntp_daemon(status: NtpStatus) -> ClockState:
    """The host's clock as its NTP daemon says; σ is its error bound's, taken as evenly spread."""
    if not status.is_synchronised:
        return ClockState()
    bound_s = status.root_dispersion_s + abs(status.root_delay_s) / 2
    sigma_s = max(LEAST_SIGMA_S, bound_s / math.sqrt(3))
    return ClockState(_named(status.reference_name), sigma_s, locked=True)


def clock_of_chrony(tracking: ChronyTracking) -> ClockState:
    """The host's clock as chronyd tracks it, in the same way."""
    if not tracking.is_synchronised:
        return ClockState()
    bound_s = (
        abs(tracking.current_correction_s)
        + tracking.root_dispersion_s
        + abs(tracking.root_delay_s) / 2
    )
    sigma_s = max(LEAST_SIGMA_S, abs(tracking.rms_offset_s), bound_s / math.sqrt(3))
    return ClockState(_source_of(tracking), sigma_s, locked=True)


def _source_of(tracking: ChronyTracking) -> ClockSource:
    is_local = tracking.stratum == 1 and tracking.is_reference_clock
    return _named(tracking.reference_name) if is_local else ClockSource.NTP


def _named(reference: str) -> ClockSource:
    """What a reference clock of this name is; empty for a server on the network."""
    if reference.upper().startswith(PTP_REFERENCES):
        return ClockSource.PTP
    is_gnss = reference.upper().startswith(GNSS_REFERENCES)
    return ClockSource.GNSS if is_gnss else ClockSource.NTP


def clock_of_kernel(kernel: KernelClock, *, has_ptp: bool = False) -> ClockState:
    """The host's clock as the kernel knows it."""
    if not kernel.is_synchronised:
        return ClockState()
    sigma_s = kernel.estimated_error_s or SNTP_SIGMA_S
    sigma_s = max(LEAST_SIGMA_S, sigma_s, abs(kernel.offset_s))
    if kernel.follows_pps:
        return ClockState(ClockSource.GNSS, sigma_s, locked=True)
    return ClockState(ClockSource.PTP if has_ptp else ClockSource.NTP, sigma_s, locked=True)
