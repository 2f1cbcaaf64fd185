"""Sets an open SoapySDR device as its receivers want it, or says what it could be set to.

::

    wishes of the device and of each channel ──▶ Device ──▶ what is in force, for HELLO

What a device does not have is refused by its name, with the names that it has: trying again will
not help. What a driver's call answers with (SoapyError) may be over in a minute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_edge.drivers.soapy_api import Device
from heimdall_edge.drivers.soapy_calls import Span

NOMINAL_FULL_SCALE = {"CU8": 127.5, "CS8": 128.0, "CS16": 32768.0, "CF32": 1.0}
"""Formats that the daemon takes, and the number that is full scale where nobody says otherwise."""
RATE_TOLERANCE = 1e-3
"""What a device may round a rate by; more is another rate."""
FREQUENCY_TOLERANCE_HZ = 1.0


class RefusedError(Exception):
    """The device cannot be set so; a person must change the configuration."""


def set_up(device: Device, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Set the device and all wanted channels; what is in force, as HELLO says it.

    ``wishes`` has ``format``, ``sample_rate_hz``, ``settings``, and ``channels``: a list of
    ``channel``, ``center_freq_hz``, ``antenna``, ``gain_db``, ``gains``, ``agc``, ``bandwidth_hz``
    and ``ppm``, each ``None`` where it is left as it is.
    """
    channels: Sequence[Mapping[str, Any]] = wishes["channels"]
    _check_channels(device, channels)
    for wish in channels:
        try:
            _set_channel(device, wish, wishes["sample_rate_hz"])
        except RefusedError as refusal:
            if len(channels) == 1:
                raise
            raise RefusedError(f"channel {wish['channel']} {refusal}") from refusal
    _write_settings(device, wishes["settings"], [wish["channel"] for wish in channels])
    sample_format, full_scale = _format(device, wishes["format"], channels[0]["channel"])
    return {
        "hardware": device.hardware_key(),
        "serial": device.hardware_info().get("serial", ""),
        "format": sample_format,
        "full_scale": full_scale,
        "sample_rate_hz": _rate_in_force(device, wishes["sample_rate_hz"], channels),
        "channels": [_in_force(device, wish) for wish in channels],
    }


def frequency_in_force(device: Device, channel: int, wanted_hz: float) -> float:
    """What a channel is tuned to: what was wanted, unless the device says otherwise by a hertz."""
    said_hz = device.frequency_hz(channel)
    is_other = math.isfinite(said_hz) and abs(said_hz - wanted_hz) >= FREQUENCY_TOLERANCE_HZ
    return said_hz if is_other else wanted_hz


def _check_channels(device: Device, channels: Sequence[Mapping[str, Any]]) -> None:
    count = device.n_channels()
    for wish in channels:
        if wish["channel"] >= count:
            raise RefusedError(f"has no channel {wish['channel']}: it has {count}, counted from 0")


def _set_channel(device: Device, wish: Mapping[str, Any], sample_rate_hz: float) -> None:
    channel = wish["channel"]
    if wish["antenna"] is not None:
        _check_name("antenna", wish["antenna"], device.antennas(channel))
        device.set_antenna(channel, wish["antenna"])
    _check_number("sample_rate_hz", sample_rate_hz, device.sample_rates_hz(channel))
    device.set_sample_rate(channel, sample_rate_hz)
    if wish["bandwidth_hz"] is not None:
        spans = device.bandwidths_hz(channel)
        if not spans:
            raise RefusedError("has no filter to set: leave bandwidth_hz out")
        _check_number("bandwidth_hz", wish["bandwidth_hz"], spans)
        device.set_bandwidth(channel, wish["bandwidth_hz"])
    if wish["ppm"]:
        if not device.has_ppm(channel):
            raise RefusedError("cannot correct its crystal: leave ppm out")
        device.set_ppm(channel, wish["ppm"])
    _check_number("center_freq_hz", wish["center_freq_hz"], device.frequencies_hz(channel))
    device.set_frequency(channel, wish["center_freq_hz"])
    _set_gain(device, wish)


def _set_gain(device: Device, wish: Mapping[str, Any]) -> None:
    channel = wish["channel"]
    if device.has_agc(channel):
        device.set_agc(channel, automatic=wish["agc"])
    elif wish["agc"]:
        raise RefusedError("has no automatic gain: set gain_db")
    if wish["agc"]:
        return
    elements = device.gain_elements(channel)
    for element, gain_db in wish["gains"].items():
        _check_name("gains", element, elements)
        device.set_element_gain(
            channel, element, _nearest(gain_db, device.element_gains_db(channel, element))
        )
    if wish["gain_db"] is not None and not wish["gains"]:
        device.set_gain(channel, _nearest(wish["gain_db"], device.gains_db(channel)))


def _write_settings(device: Device, settings: Mapping[str, str], channels: Sequence[int]) -> None:
    device_keys = device.setting_keys()
    for key, value in settings.items():
        if key in device_keys:
            device.write_setting(key, value)
            continue
        for channel in channels:
            channel_keys = device.channel_setting_keys(channel)
            _check_name("settings", key, [*device_keys, *channel_keys])
            device.write_channel_setting(channel, key, value)


def _format(device: Device, wanted: str, channel: int) -> tuple[str, float]:
    """The stream's format, and the number that is full scale in it."""
    offered = device.formats(channel)
    native, native_full_scale = device.native_format(channel)
    chosen = wanted
    if wanted == "native":
        # Packed and wide formats (CS12, CF64) are nobody's: the driver unpacks them for us.
        usable = [name for name in (native, "CS16", "CF32") if name in NOMINAL_FULL_SCALE]
        chosen = next((name for name in usable if name in offered), native)
    if chosen not in offered or chosen not in NOMINAL_FULL_SCALE:
        usable = [name for name in offered if name in NOMINAL_FULL_SCALE]
        raise RefusedError(f"has no format {chosen!r}: expected one of {_listed(usable)}")
    nominal = NOMINAL_FULL_SCALE[chosen]
    says_so = chosen == native and 0 < native_full_scale <= nominal
    return chosen, native_full_scale if says_so else nominal


def _rate_in_force(
    device: Device, wanted_hz: float, channels: Sequence[Mapping[str, Any]]
) -> float:
    for wish in channels:
        rate_hz = device.sample_rate_hz(wish["channel"])
        if not math.isclose(rate_hz, wanted_hz, rel_tol=RATE_TOLERANCE):
            raise RefusedError(
                f"makes {rate_hz:.12g} of sample_rate_hz = {wanted_hz:.12g}: ask for that"
            )
    return rate_hz


def _in_force(device: Device, wish: Mapping[str, Any]) -> dict[str, Any]:
    channel = wish["channel"]
    gain_db = wish["gain_db"] if math.isnan(said_db := device.gain_db(channel)) else said_db
    return {
        "channel": channel,
        "center_freq_hz": frequency_in_force(device, channel, wish["center_freq_hz"]),
        "frequencies_hz": [[s.lowest, s.highest] for s in device.frequencies_hz(channel)],
        "gain_db": None if wish["agc"] else gain_db,
    }


def _check_name(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise RefusedError(f"has no {what} {name!r}: expected one of {_listed(names)}")


def _check_number(what: str, value: float, spans: Sequence[Span]) -> None:
    """A device that names no range is believed to take anything."""
    slack = 1 + 1e-9
    if spans and not any(s.lowest / slack <= value <= s.highest * slack for s in spans):
        ranges = _listed([_range_text(span) for span in spans])
        raise RefusedError(f"does not take {what} = {value:.12g}: expected {ranges}")


def _range_text(span: Span) -> str:
    if span.lowest == span.highest:
        return f"{span.lowest:.12g}"
    return f"{span.lowest:.12g}–{span.highest:.12g}"


def _nearest(gain_db: float, span: Span) -> float:
    """What the device has; a range without width says nothing."""
    if span.lowest >= span.highest:
        return gain_db
    return min(max(gain_db, span.lowest), span.highest)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing"
