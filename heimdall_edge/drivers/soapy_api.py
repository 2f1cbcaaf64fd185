"""SoapySDR, as far as a receiver needs it.

::

    Library ─open(args)─▶ Device ─stream(format, channels)─▶ Stream ─read()─▶ Read

Each call raises :class:`~heimdall_edge.drivers.soapy_calls.SoapyError` with the driver's own words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from heimdall_edge.drivers.soapy_calls import Calls, SoapyError, Span
from heimdall_edge.drivers.soapy_stream import Stream

RX = 1


class Library:
    """The loaded library; SoapyError where it cannot be."""

    def __init__(self) -> None:
        self._calls = Calls()

    def enumerate(self, args: str = "") -> list[dict[str, str]]:
        """Devices that its modules find, each as the arguments that open it."""
        return self._calls.lists_of_pairs("enumerateStrArgs", args.encode())

    def open(self, args: str) -> Device:
        """Open the first device that fits."""
        handle = self._calls.value("makeStrArgs", args.encode())
        if not handle:
            raise SoapyError("makeStrArgs: no device fits")
        return Device(self._calls, handle)


class Device:
    """An open device; every method that takes a channel means one that receives."""

    def __init__(self, calls: Calls, handle: int) -> None:
        self._calls, self._handle = calls, handle

    def close(self) -> None:
        if self._handle:
            self._calls.bare("unmake", self._handle)
            self._handle = 0

    # ── what it is ────────────────────────────────────────────────────────────────────────

    def hardware_key(self) -> str:
        return self._calls.text("getHardwareKey", self._handle)

    def hardware_info(self) -> dict[str, str]:
        return self._calls.pairs("getHardwareInfo", self._handle)

    def n_channels(self) -> int:
        return int(self._calls.value("getNumChannels", self._handle, RX))

    def formats(self, channel: int) -> list[str]:
        return self._calls.texts("getStreamFormats", self._handle, RX, channel)

    def native_format(self, channel: int) -> tuple[str, float]:
        """The converter's own format, and the number that is full scale in it."""
        full_scale = ctypes.c_double()
        name = self._calls.text(
            "getNativeStreamFormat", self._handle, RX, channel, ctypes.byref(full_scale)
        )
        return name, full_scale.value

    # ── what it can be set to, and is set to ──────────────────────────────────────────────

    def antennas(self, channel: int) -> list[str]:
        return self._calls.texts("listAntennas", self._handle, RX, channel)

    def set_antenna(self, channel: int, name: str) -> None:
        self._calls.do("setAntenna", self._handle, RX, channel, name.encode())

    def sample_rates_hz(self, channel: int) -> list[Span]:
        return self._calls.spans("getSampleRateRange", self._handle, RX, channel)

    def set_sample_rate(self, channel: int, rate_hz: float) -> None:
        self._calls.do("setSampleRate", self._handle, RX, channel, rate_hz)

    def sample_rate_hz(self, channel: int) -> float:
        return float(self._calls.value("getSampleRate", self._handle, RX, channel))

    def frequencies_hz(self, channel: int) -> list[Span]:
        return self._calls.spans("getFrequencyRange", self._handle, RX, channel)

    def set_frequency(self, channel: int, frequency_hz: float) -> None:
        self._calls.do("setFrequency", self._handle, RX, channel, frequency_hz, None)

    def frequency_hz(self, channel: int) -> float:
        return float(self._calls.value("getFrequency", self._handle, RX, channel))

    def has_ppm(self, channel: int) -> bool:
        return bool(self._calls.value("hasFrequencyCorrection", self._handle, RX, channel))

    def set_ppm(self, channel: int, ppm: float) -> None:
        self._calls.do("setFrequencyCorrection", self._handle, RX, channel, ppm)

    def bandwidths_hz(self, channel: int) -> list[Span]:
        return self._calls.spans("getBandwidthRange", self._handle, RX, channel)

    def set_bandwidth(self, channel: int, bandwidth_hz: float) -> None:
        self._calls.do("setBandwidth", self._handle, RX, channel, bandwidth_hz)

    def has_agc(self, channel: int) -> bool:
        return bool(self._calls.value("hasGainMode", self._handle, RX, channel))

    def set_agc(self, channel: int, *, automatic: bool) -> None:
        self._calls.do("setGainMode", self._handle, RX, channel, automatic)

    def gain_elements(self, channel: int) -> list[str]:
        return self._calls.texts("listGains", self._handle, RX, channel)

    def gains_db(self, channel: int) -> Span:
        found = self._calls.value("getGainRange", self._handle, RX, channel)
        return Span(found.minimum, found.maximum)

    def element_gains_db(self, channel: int, element: str) -> Span:
        found = self._calls.value(
            "getGainElementRange", self._handle, RX, channel, element.encode()
        )
        return Span(found.minimum, found.maximum)

    def set_gain(self, channel: int, gain_db: float) -> None:
        self._calls.do("setGain", self._handle, RX, channel, gain_db)

    def set_element_gain(self, channel: int, element: str, gain_db: float) -> None:
        self._calls.do("setGainElement", self._handle, RX, channel, element.encode(), gain_db)

    def gain_db(self, channel: int) -> float:
        return float(self._calls.value("getGain", self._handle, RX, channel))

    def setting_keys(self) -> list[str]:
        return self._calls.argument_keys("getSettingInfo", self._handle)

    def write_setting(self, key: str, value: str) -> None:
        self._calls.do("writeSetting", self._handle, key.encode(), value.encode())

    def channel_setting_keys(self, channel: int) -> list[str]:
        return self._calls.argument_keys("getChannelSettingInfo", self._handle, RX, channel)

    def write_channel_setting(self, channel: int, key: str, value: str) -> None:
        self._calls.do(
            "writeChannelSetting", self._handle, RX, channel, key.encode(), value.encode()
        )

    # ── its samples ───────────────────────────────────────────────────────────────────────

    def stream(self, sample_format: str, channels: Sequence[int]) -> Stream:
        """One stream of all these channels, sample by sample beside each other."""
        numbers = (ctypes.c_size_t * len(channels))(*channels)
        handle = self._calls.value(
            "setupStream",
            self._handle,
            RX,
            sample_format.encode(),
            numbers,
            len(channels),
            None,
        )
        if not handle:
            raise SoapyError("setupStream: refused, and the driver does not say why")
        return Stream(self._calls, self._handle, handle, len(channels))
