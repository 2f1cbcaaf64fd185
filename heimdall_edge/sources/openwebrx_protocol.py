"""The texts between an OpenWebRX server and its client, checked.

::

    text ──▶ read_text ──▶ ConfigChange | SMeter | Backoff | Fault | Details | None

Sources: jketterl/openwebrx, luarvique/openwebrx (``owrx/connection.py``, ``owrx/dsp.py``,
``csdr/chain/selector.py``). Whatever is malformed raises ValueError with words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from heimdall_edge.sources.json_checks import (
    MAX_NAME_CHARS,
    as_number,
    as_object,
    as_place,
    as_words,
    parsed,
)
from heimdall_edge.sources.openwebrx_rows import GREATEST_FFT_SIZE, LEAST_FFT_SIZE, Band
from heimdall_edge.types import Place

MAX_TEXT_CHARS = 1 << 20
GREATEST_HZ = 300e9
LEAST_POWER = 1e-20


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A part of the configuration, as sent again on each change; absent is unchanged."""

    parts: Mapping[str, Any]
    """By the names of :class:`Band`; None where the server took a value back."""

    def applied_to(self, band: Band) -> Band:
        return replace(band, **self.parts)


@dataclass(frozen=True, slots=True)
class SMeter:
    """Power within the channel filter, relative."""

    level_db: float


@dataclass(frozen=True, slots=True)
class Backoff:
    """We are not wanted now; the connection ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is wrong over there."""

    kind: Literal["sdr_error", "demodulator_error", "log_message"]
    text: str


@dataclass(frozen=True, slots=True)
class Details:
    """What the owner wrote of the receiver."""

    place: Place | None
    session_s: float | None
    """How long a listener may stay; None: as long as they like."""


Message = ConfigChange | SMeter | Backoff | Fault | Details


def server_version(text: str) -> str:
    """The version in the server's greeting."""
    words = text[:MAX_NAME_CHARS].split()
    if words[:3] != ["CLIENT", "DE", "SERVER"]:
        raise ValueError(f"greeting is {text[:60]!r}: expected 'CLIENT DE SERVER server=…'")
    parts = dict(word.split("=", 1) for word in words[3:] if "=" in word)
    return f"{parts.get('server', 'unknown')} {parts.get('version', '')}".strip()


def read_text(text: str) -> Message | None:
    """Read a message; None for one that does not concern us."""
    said = as_object(parsed(text, max_chars=MAX_TEXT_CHARS), "message")
    kind, value = said.get("type"), said.get("value")
    if kind == "config":
        return _config_change(as_object(value, "config"))
    if kind == "smeter":
        power = as_number(value, "smeter", least=0.0, greatest=1e30)
        return SMeter(10 * math.log10(max(power, LEAST_POWER)))
    if kind == "receiver_details":
        return _details(as_object(value, "receiver_details"))
    if kind == "backoff":
        return Backoff(as_words(said.get("reason")))
    if kind in ("sdr_error", "demodulator_error", "log_message"):
        return Fault(kind, as_words(value))
    return None


def _config_change(value: Mapping[str, Any]) -> ConfigChange:
    parts: dict[str, Any] = {}
    for name, key in (("center_freq_hz", "center_freq"), ("sample_rate_hz", "samp_rate")):
        if key in value:
            parts[name] = _optional_hz(value[key], f"config.{key}")
    if "fft_size" in value:
        limits = {"least": LEAST_FFT_SIZE, "greatest": GREATEST_FFT_SIZE}
        fft_size = as_number(value["fft_size"], "config.fft_size", **limits)
        if fft_size != int(fft_size):
            raise ValueError(f"config.fft_size is {fft_size}: expected a whole number")
        parts["fft_size"] = int(fft_size)
    if "fft_compression" in value:
        if value["fft_compression"] not in ("none", "adpcm"):
            found = str(value["fft_compression"])[:60]
            raise ValueError(f"config.fft_compression is {found!r}: expected 'none' or 'adpcm'")
        parts["fft_compression"] = value["fft_compression"]
    if "profile_id" in value:
        sdr, profile = value.get("sdr_id"), value["profile_id"]
        parts["profile"] = "|".join(str(part)[:MAX_NAME_CHARS] for part in (sdr, profile))
    return ConfigChange(parts)


def _details(value: Mapping[str, Any]) -> Details:
    try:
        session_s = as_number(value.get("session_timeout"), "", least=1.0, greatest=1e9)
    except ValueError:  # 0 is none, and versions before have none
        session_s = None
    return Details(as_place(value.get("receiver_gps"), value.get("receiver_asl")), session_s)


def _optional_hz(value: object, name: str) -> float | None:
    return None if value is None else as_number(value, name, least=1.0, greatest=GREATEST_HZ)


# ── what we say ───────────────────────────────────────────────────────────────────────────


def greeting(client: str) -> str:
    """The first words."""
    return f"SERVER DE CLIENT client={client} type=receiver"


def tuning(*, offset_hz: float, half_width_hz: float, output_rate_hz: int) -> tuple[str, ...]:
    """The texts that put the S-meter on a channel.

    Squelch open, and a mode that any version knows; never a profile, which would retune the device
    for everybody.
    """
    width_hz = round(half_width_hz)
    rates = {"output_rate": output_rate_hz, "hd_output_rate": 48_000}
    control = {
        "low_cut": -width_hz,
        "high_cut": width_hz,
        "offset_freq": round(offset_hz),
        "mod": "nfm",
        "squelch_level": -150,
        "secondary_mod": False,
    }
    return tuple(
        json.dumps(said)
        for said in (
            {"type": "connectionproperties", "params": rates},
            {"type": "dspcontrol", "params": control},
            {"type": "dspcontrol", "action": "start"},
        )
    )
