"""An RTL-SDR dongle on this host.

::

    drivers/rtlsdr.py ──SAMPLES, EVENT──▶ RtlSdrSource ──IQBlock──▶
     (its own process)                     SampleClock: counts, stamps, finds losses
                                           settling after open and tune: discarded

librtlsdr says nothing of lost samples: they are found in time. What the driver's process had to
drop, because nobody read its pipe, it says itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from heimdall_edge import journal
from heimdall_edge.config_kinds import RtlSdr
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.drivers.framing import Frame, FrameKind
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.child import OPEN_TIMEOUT_S, STALL_TIMEOUT_S, DriverProcess
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.missing import Missing, Settling
from heimdall_edge.sources.rtl2832 import SETTLE_S, rate_problem, real_rate_hz
from heimdall_edge.sources.sample_clock import USB, Arrival, SampleClock
from heimdall_edge.types import NS_PER_S, IQBlock, frozen_array

log = journal.logger("rtlsdr")

DRIVER = "heimdall_edge.drivers.rtlsdr"
BUFFER_UNIT_BYTES = 16_384
LONGEST_BUFFER_BYTES = 8 * BUFFER_UNIT_BYTES
"""65,536 samples: 27 ms at 2.4 Msps."""
BUFFER_S = 0.1
"""The longest buffer at low rates."""
MOST_HZ = 2**32 - 1
"""librtlsdr takes a centre as 32 bits."""


class RtlSdrSource(Live):
    """An :class:`~heimdall_edge.sources.base.IQSource` that is also ``Tunable``.

    Parameters
    ----------
    receiver
        Of kind ``rtlsdr``.
    host
        The host's clocks.
    stall_timeout_s, open_timeout_s
        When a dongle that says nothing is given up.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        host: HostTime,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        self._receiver_id = receiver.id
        self._asked_rate_hz = receiver.sample_rate_hz or 0.0
        self._center_freq_hz = receiver.centers_hz[0]
        self._is_automatic = receiver.agc
        self._stall_timeout_s = stall_timeout_s
        self._host = host
        wanted = receiver.rtlsdr or RtlSdr()
        self._process = DriverProcess(
            module=DRIVER,
            settings=_settings(receiver, wanted),
            name=_name(wanted),
            stall_timeout_s=stall_timeout_s,
            open_timeout_s=open_timeout_s,
        )
        self._gain_db: float | None = None
        self._device: str | None = None
        self._clock: SampleClock | None = None
        self._rate_hz = self._asked_rate_hz  # the real one, once it is open
        self._answers, self._missing = Answers(), Missing()
        self._settling = Settling(SETTLE_S)

    @classmethod
    def from_config(cls, receiver: Receiver, host: HostTime) -> RtlSdrSource:
        """The source of a ``[[receivers]]`` table, read with this host's clocks."""
        return cls(receiver=receiver, host=host)

    @property
    def device(self) -> str | None:
        return self._device

    def open(self) -> None:
        if problem := rate_problem(self._asked_rate_hz):
            raise SourceDataError(f"{self._process.name}: {problem}")
        _check_center(self._process.name, self._center_freq_hz)
        hello = self._process.start()
        self._rate_hz = real_rate_hz(self._asked_rate_hz)
        self._clock = SampleClock(sample_rate_hz=self._rate_hz, host=self._host, path=USB)
        self._settle(self._host.monotonic_ns())
        self._gain_db = hello.get("gain_db")
        self._device = _in_words(hello, self._rate_hz)
        self._warn_of(hello)

    def blocks(self) -> Iterator[IQBlock]:
        if self._clock is None:
            raise SourceError(f"{self._process.name}: is not open")
        for frame in self._process.frames():
            if frame.kind is FrameKind.EVENT:
                self._answers.came()
                self._settle(frame.monotonic_ns)
                continue
            n_samples = len(frame.payload) // 2
            began_ns = frame.monotonic_ns - round(n_samples * NS_PER_S / self._rate_hz)
            arrival = self._arrival(frame, n_samples)
            if self._answers or self._settling.spoils(n_samples, began_ns):
                self._missing.discarded_samples += n_samples
                self._check_answers(frame.monotonic_ns)
                continue
            yield self._block(frame, arrival)

    def tune(self, center_freq_hz: float) -> None:
        """Tune to another centre; see :class:`~heimdall_edge.sources.base.Tunable`."""
        if self._clock is None:
            raise SourceError(f"{self._process.name}: is not open")
        if center_freq_hz == self._center_freq_hz:
            return
        _check_center(self._process.name, center_freq_hz)
        self._process.send({"tune": center_freq_hz})
        self._answers.await_one(self._host.monotonic_ns())
        self._center_freq_hz = center_freq_hz

    def close(self) -> None:
        self._process.close()

    def _settle(self, monotonic_ns: int) -> None:
        self._settling.begin(monotonic_ns, sample_rate_hz=self._rate_hz)

    def _arrival(self, frame: Frame, n_samples: int) -> Arrival:
        assert self._clock is not None
        arrival = self._clock.arrived(
            n_samples,
            frame.monotonic_ns,
            lost_samples=frame.lost_samples + frame.dropped_samples,
        )
        self._missing.lost_samples += arrival.lost_samples - frame.dropped_samples
        self._missing.dropped_samples += frame.dropped_samples
        return arrival

    def _block(self, frame: Frame, arrival: Arrival) -> IQBlock:
        missing = self._missing.take()
        return IQBlock(
            samples=frozen_array(np.frombuffer(frame.payload, np.uint8)),
            datatype="cu8",
            sample_rate_hz=self._rate_hz,
            center_freq_hz=self._center_freq_hz,
            sample_start=arrival.sample_start,
            start_utc_ns=arrival.start_utc_ns,
            lost_samples=missing.lost_samples,
            dropped_samples=missing.dropped_samples,
            discarded_samples=missing.discarded_samples,
            clock=arrival.clock,
            gain_db=self._gain_db,
            frequency_error=arrival.frequency_error,
        )

    def _check_answers(self, monotonic_ns: int) -> None:
        if self._answers.awaited_s(monotonic_ns) > self._stall_timeout_s:
            raise SourceError(
                f"{self._process.name}: did not tune to {self._center_freq_hz:g} Hz "
                f"for {self._stall_timeout_s:g} s"
            )

    def _warn_of(self, hello: Mapping[str, Any]) -> None:
        if self._is_automatic:
            log.warning(
                "levels_mean_nothing",
                receiver=self._receiver_id,
                reason="agc = true: the gain changes by itself; gain_db makes levels compare",
            )
        if (same := hello.get("dongles_with_this_serial", 1)) > 1:
            log.warning(
                "serial_not_unique",
                receiver=self._receiver_id,
                serial=hello.get("serial"),
                dongles=same,
                reason="the first was taken; rtl_eeprom -s gives each a serial of its own",
            )


class Answers:
    """Which tunings the driver has not answered yet."""

    def __init__(self) -> None:
        self._n_awaited = 0
        self._since_ns = 0

    def await_one(self, monotonic_ns: int) -> None:
        """Something was asked."""
        self._n_awaited += 1
        self._since_ns = monotonic_ns

    def came(self) -> None:
        self._n_awaited = max(0, self._n_awaited - 1)

    def awaited_s(self, monotonic_ns: int) -> float:
        """For how long the last one has been awaited; 0 where none is."""
        return (monotonic_ns - self._since_ns) / NS_PER_S if self._n_awaited else 0.0

    def __bool__(self) -> bool:
        return self._n_awaited > 0


def _settings(receiver: Receiver, wanted: RtlSdr) -> dict[str, object]:
    """The first line that the driver reads; see ``drivers/rtlsdr.py``, Settings."""
    return {
        "serial": wanted.serial,
        "index": wanted.index,
        "sample_rate_hz": round(receiver.sample_rate_hz or 0),
        "center_freq_hz": receiver.centers_hz[0],
        "gain_db": None if receiver.agc else receiver.gain_db,
        "ppm": wanted.ppm,
        "bias_tee": wanted.bias_tee,
        "direct_sampling": wanted.direct_sampling,
        "offset_tuning": wanted.offset_tuning,
        "bandwidth_hz": None if wanted.bandwidth_hz is None else round(wanted.bandwidth_hz),
        "buffer_bytes": buffer_bytes(receiver.sample_rate_hz or 0),
    }


def buffer_bytes(rate_hz: float) -> int:
    """How much a dongle hands over at once: a power of two, a tenth of a second at most."""
    units = max(1, int(2 * rate_hz * BUFFER_S) // BUFFER_UNIT_BYTES)
    return min(BUFFER_UNIT_BYTES << units.bit_length() - 1, LONGEST_BUFFER_BYTES)


def _name(wanted: RtlSdr) -> str:
    if wanted.serial is not None:
        return f"RTL-SDR {wanted.serial}"
    return "RTL-SDR" if wanted.index is None else f"RTL-SDR with index {wanted.index}"


def _check_center(name: str, center_freq_hz: float) -> None:
    if not 0 < center_freq_hz <= MOST_HZ:
        raise SourceDataError(
            f"{name}: cannot tune to {center_freq_hz:g} Hz: expected up to 4.29 GHz"
        )


def _in_words(hello: Mapping[str, Any], rate_hz: float) -> str:
    tuner = hello["tuner_name"] or "no tuner"
    model = f"RTL-SDR Blog V4 ({tuner})" if hello["product"] == "Blog V4" else tuner
    gain_db = hello["gain_db"]
    gain = "automatic gain" if gain_db is None else f"gain {gain_db:.1f} dB"
    return f"{model}, serial {hello['serial']}, {gain}, {rate_hz / 1e6:g} Msps"
