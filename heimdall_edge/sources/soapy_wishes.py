"""What the driver of a SoapySDR device is told, from the receivers that share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_edge.config_kinds import Soapy
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError

BLOCK_SAMPLES = 65_536
"""From 1 Msps on; slower receivers give shorter blocks, of some 50 ms."""
FULL_BLOCK_RATE_HZ = 1e6
SLOW_BLOCK_S = 0.05


def settings_of(receiver: Receiver) -> Soapy:
    """The receiver's own table, which every receiver of this kind has."""
    assert receiver.soapy is not None
    return receiver.soapy


def arguments_of(args: str) -> dict[str, str]:
    """``driver=remote, remote=sdr.example`` as a map, as SoapySDR itself reads it."""
    pairs = [part.partition("=") for part in args.split(",") if part.strip()]
    return {key.strip(): value.strip() for key, _, value in pairs}


def wishes_of(receivers: Sequence[Receiver]) -> dict[str, Any]:
    """One device's settings, as :mod:`heimdall_edge.drivers.soapy_setup` takes them.

    Raises
    ------
    SourceDataError
        The receivers want what one device cannot do at once, or the device is none.
    """
    first, args = receivers[0], settings_of(receivers[0]).device
    if arguments_of(args).get("driver", "").lower() in {"", "null"}:
        raise SourceDataError(
            f"SoapySDR {args}: expected driver= and its name: driver=null is a device that never "
            "gives a sample; `SoapySDRUtil --find` lists what there is"
        )
    for other in receivers[1:]:
        _check_agree(first, other)
    channels = [settings_of(receiver).channel for receiver in receivers]
    for channel in channels:
        if channels.count(channel) > 1:
            ids = [r.id for r in receivers if settings_of(r).channel == channel]
            raise SourceDataError(
                f"receivers {' and '.join(ids)} both want channel {channel} of SoapySDR {args}: "
                "expected channels of their own"
            )
    rate_hz = _number(first.sample_rate_hz)
    return {
        "device": args,
        "format": settings_of(first).format,
        "sample_rate_hz": rate_hz,
        "block_samples": block_samples_of(rate_hz),
        "settings": _settings(receivers),
        "channels": [_channel(receiver) for receiver in receivers],
    }


def block_samples_of(sample_rate_hz: float) -> int:
    """How many samples a block has."""
    if sample_rate_hz >= FULL_BLOCK_RATE_HZ:
        return BLOCK_SAMPLES
    return max(256, round(sample_rate_hz * SLOW_BLOCK_S))


def _channel(receiver: Receiver) -> dict[str, Any]:
    settings = settings_of(receiver)
    return {
        "channel": settings.channel,
        "center_freq_hz": receiver.centers_hz[0],
        "antenna": settings.antenna,
        "gain_db": receiver.gain_db,
        "gains": dict(settings.gains),
        "agc": receiver.agc,
        "bandwidth_hz": settings.bandwidth_hz,
        "ppm": settings.ppm,
    }


def _settings(receivers: Sequence[Receiver]) -> dict[str, str]:
    """The driver's own settings, of all receivers together."""
    merged: dict[str, str] = {}
    for receiver in receivers:
        for key, value in settings_of(receiver).settings.items():
            if merged.setdefault(key, value) != value:
                raise SourceDataError(
                    f"{receiver.id}: setting {key} = {value!r}, but another receiver of "
                    f"SoapySDR {settings_of(receiver).device} wants {merged[key]!r}"
                )
    return merged


def _check_agree(first: Receiver, other: Receiver) -> None:
    """One stream carries all channels: it has one rate and one format."""
    shared: Mapping[str, tuple[object, object]] = {
        "sample_rate_hz": (first.sample_rate_hz, other.sample_rate_hz),
        "format": (settings_of(first).format, settings_of(other).format),
    }
    for key, (mine, yours) in shared.items():
        if mine != yours:
            raise SourceDataError(
                f"receivers {first.id} and {other.id} share SoapySDR {settings_of(first).device}: "
                f"expected the same {key}, found {mine} and {yours}"
            )


def _number(rate_hz: float | None) -> float:
    assert rate_hz is not None  # the configuration insists on it for this kind
    return float(rate_hz)
