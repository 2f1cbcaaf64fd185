"""A SoapySDR device as a receiver: any make, local or behind SoapyRemote.

::

    drivers/soapy.py ─frames of one channel─▶ Tap ─▶ SampleClock ─▶ IQBlock

Two receivers that name the same device share its process, each with a channel of its own: see
:class:`SoapyDevices`. The device's time counts samples on most devices, or follows a clock that
nobody set: it says how many samples were lost, and is never taken for UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from heimdall_edge import journal
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.drivers.framing import FLAG_OVERFLOW, Frame, FrameKind
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.child import OPEN_TIMEOUT_S, STALL_TIMEOUT_S, DriverProcess
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.sample_clock import NETWORK, USB, SampleClock
from heimdall_edge.sources.shared_driver import SharedDriver
from heimdall_edge.sources.soapy_wishes import arguments_of, settings_of, wishes_of
from heimdall_edge.types import NS_PER_S, IQBlock, SampleCount, SampleFormat, frozen_array

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("soapy")

FORMATS: dict[str, tuple[SampleFormat, str, float]] = {
    "CU8": ("cu8", "|u1", 127.5),
    "CS8": ("ci8", "|i1", 128.0),
    "CS16": ("ci16_le", "<i2", 32_768.0),
    "CF32": ("cf32_le", "<f4", 1.0),
}
"""SoapySDR's name → SigMF's, NumPy's, and the number that is full scale in it."""
SETTLE_S = 0.1
"""Thrown away after opening and after each tuning."""
TUNE_TIMEOUT_S = 5.0
FULL_SCALE_TOLERANCE = 0.01
"""A full scale this near to the format's own is the format's own (32767)."""


class SoapyDevices:
    """The devices of all receivers: those that name the same one find it here.

    Parameters
    ----------
    receivers
        All that the daemon runs; those of other kinds are passed over.
    open_timeout_s, stall_timeout_s
        How long a device may take to open, and to give samples.
    """

    def __init__(
        self,
        receivers: Iterable[Receiver] = (),
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
    ) -> None:
        self._open_timeout_s, self._stall_timeout_s = open_timeout_s, stall_timeout_s
        groups: dict[frozenset[tuple[str, str]], list[Receiver]] = {}
        for receiver in receivers:
            if receiver.kind == "soapy":
                key = frozenset(arguments_of(settings_of(receiver).device).items())
                groups.setdefault(key, []).append(receiver)
        self._drivers: dict[str, SharedDriver] = {}
        """By the receiver's id."""
        for group in groups.values():
            driver = self._driver(group)
            self._drivers |= {receiver.id: driver for receiver in group}

    def driver_of(self, receiver: Receiver) -> SharedDriver:
        """The receiver's device; one that is not among those of the start has it to itself."""
        return self._drivers.get(receiver.id) or self._driver([receiver])

    def _driver(self, receivers: list[Receiver]) -> SharedDriver:
        return SharedDriver(partial(self._process, receivers))

    def _process(self, receivers: list[Receiver]) -> DriverProcess:
        return DriverProcess(
            module="heimdall_edge.drivers.soapy",
            settings=wishes_of(receivers),
            name=f"SoapySDR {settings_of(receivers[0]).device}",
            open_timeout_s=self._open_timeout_s,
            stall_timeout_s=self._stall_timeout_s,
        )


class SoapySource(Live):
    """An :class:`~heimdall_edge.sources.base.IQSource` that can be tuned.

    Parameters
    ----------
    receiver
        Of kind ``soapy``.
    devices
        Where its device is.
    host
        The host's clocks.
    settle_s
        How much is thrown away after opening and tuning.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        devices: SoapyDevices,
        host: HostTime,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._receiver = receiver
        self._name = f"SoapySDR {settings_of(receiver).device}"
        self._tap = devices.driver_of(receiver).tap(settings_of(receiver).channel)
        self._host, self._settle_s = host, settle_s
        self._hello: dict[str, Any] = {}
        self._channel: dict[str, Any] = {}
        """What the driver says of this channel."""
        self._clock: SampleClock | None = None
        self._center_freq_hz = 0.0
        self._tuning_since_ns: list[int] = []
        """An instant (monotonic) for each tuning that the driver has not answered."""
        self._unsettled = 0
        """Samples still to be thrown away."""
        self._missing, self._discarded = SampleCount(), 0
        """What the next block owes to those that were thrown away before it."""

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> SoapySource:
        return cls(receiver=receiver, devices=around.soapy, host=around.host)

    @property
    def device(self) -> str | None:
        if not self._channel:
            return None
        gain_db = self._channel["gain_db"]
        settings = settings_of(self._receiver)
        parts = (
            self._hello["hardware"],
            f"serial {self._hello['serial']}" if self._hello["serial"] else "",
            f"channel {settings.channel}",
            f"antenna {settings.antenna}" if settings.antenna else "",
            "automatic gain" if gain_db is None else f"gain {gain_db:.1f} dB",
            f"{self._hello['sample_rate_hz'] / 1e6:g} Msps {self._hello['format']}",
        )
        return ", ".join(part for part in parts if part)

    def open(self) -> None:
        self._hello = self._tap.open()
        (self._channel,) = (
            said
            for said in self._hello["channels"]
            if said["channel"] == settings_of(self._receiver).channel
        )
        is_remote = arguments_of(settings_of(self._receiver).device).get("driver") == "remote"
        self._clock = SampleClock(
            sample_rate_hz=self._hello["sample_rate_hz"],
            host=self._host,
            path=NETWORK if is_remote else USB,
        )
        self._center_freq_hz = float(self._channel["center_freq_hz"])
        self._settle()

    def blocks(self) -> Iterator[IQBlock]:
        if self._clock is None:
            raise SourceError(f"{self._name}: is not open")
        for frame in self._tap.frames():
            if frame.kind is FrameKind.EVENT:
                self._take_event(frame.json)
            elif (block := self._block(frame, self._clock)) is not None:
                yield block

    def close(self) -> None:
        self._tap.close()

    def tune(self, center_freq_hz: float) -> None:
        """Tune to another centre, between two blocks; see ``Tunable``."""
        if self._clock is None:
            raise SourceError(f"{self._name}: is not open")
        if center_freq_hz == self._center_freq_hz and not self._tuning_since_ns:
            return
        spans = self._channel["frequencies_hz"]
        if spans and not any(low <= center_freq_hz <= high for low, high in spans):
            ranges = ", ".join(f"{low:.12g}–{high:.12g}" for low, high in spans)
            raise SourceDataError(
                f"{self._name}: cannot be tuned to {center_freq_hz:.12g} Hz: expected {ranges}"
            )
        self._tuning_since_ns.append(self._host.monotonic_ns())
        self._tap.send({"tune": center_freq_hz})

    def _settle(self) -> None:
        self._unsettled = round(self._settle_s * self._hello["sample_rate_hz"])

    def _take_event(self, said: dict[str, Any]) -> None:
        """The driver's answer to a tuning."""
        if "not_tuned" in said:
            raise SourceError(f"{self._name}: cannot be tuned: {said['not_tuned']}")
        if "tuned" in said and self._tuning_since_ns:
            self._tuning_since_ns.pop(0)
            self._center_freq_hz = float(said["tuned"])
            self._settle()

    def _block(self, frame: Frame, clock: SampleClock) -> IQBlock | None:
        """The frame's block, or nothing while it is unsettled."""
        datatype, dtype, nominal = FORMATS[self._hello["format"]]
        samples = frozen_array(np.frombuffer(frame.payload, dtype))
        n_samples = len(samples) // 2
        arrival = clock.arrived(
            n_samples,
            frame.monotonic_ns,
            lost_samples=frame.lost_samples + frame.dropped_samples,
        )
        self._missing += SampleCount(
            lost=arrival.lost_samples - frame.dropped_samples, dropped=frame.dropped_samples
        )
        if frame.flags & FLAG_OVERFLOW:
            log.warning("overflow_of_unknown_length", receiver=self._receiver.id)
        if self._is_unsettled(n_samples, frame.monotonic_ns):
            self._discarded += n_samples
            return None
        missing, discarded = self._missing, self._discarded
        self._missing, self._discarded = SampleCount(), 0
        full_scale = float(self._hello["full_scale"])
        return IQBlock(
            samples=samples,
            datatype=datatype,
            sample_rate_hz=self._hello["sample_rate_hz"],
            center_freq_hz=self._center_freq_hz,
            sample_start=arrival.sample_start,
            start_utc_ns=arrival.start_utc_ns,
            lost_samples=missing.lost,
            dropped_samples=missing.dropped,
            discarded_samples=discarded,
            clock=arrival.clock,
            gain_db=self._channel["gain_db"],
            frequency_error=arrival.frequency_error,
            full_scale=full_scale if full_scale < (1 - FULL_SCALE_TOLERANCE) * nominal else None,
        )

    def _is_unsettled(self, n_samples: int, monotonic_ns: int) -> bool:
        """Whether samples that just came are of a tuner that was not still."""
        if self._tuning_since_ns:
            if monotonic_ns - self._tuning_since_ns[0] > TUNE_TIMEOUT_S * NS_PER_S:
                raise SourceError(
                    f"{self._name}: did not answer to tuning for {TUNE_TIMEOUT_S:g} s"
                )
            return True
        is_unsettled = self._unsettled > 0
        self._unsettled -= min(n_samples, self._unsettled)
        return is_unsettled
