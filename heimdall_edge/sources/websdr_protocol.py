"""What a WebSDR.org server says: the bands of its page, and the S-meter in its stream of sound.

UNVERIFIED: the server is closed source and its author has published no interface. This is what
clients of third parties agree on (svabi79/AetherSDR's concept, POTACAT's client, and others): they
differ in the zero of the S-meter, and nobody has said what it is calibrated to. Whatever is
malformed raises ValueError with words.

::

    /tmp/bandinfo.js ─▶ read_page ─▶ SitePage (bands, idle time-out)
    binary message ───▶ read_sound ─▶ Sound (S-meter readings, sample rate)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from heimdall_edge.sources.js_literals import assigned
from heimdall_edge.sources.json_checks import as_number, as_object, as_words
from heimdall_edge.types import ChannelSpec

MAX_BANDS = 64
MAX_SOUND_BYTES = 1 << 16
DB_PER_STEP = 0.1
LEAST_LEVEL_DB = -127.0
"""Of a reading of 0, after the page's own scale; others say -140."""
CW_PITCH_HZ = 750.0
GREATEST_HALF_WIDTH_HZ = 8_000.0

Mode = Literal["usb", "lsb", "cw", "am", "fm"]
MODE_NUMBERS: dict[Mode, int] = {"usb": 0, "lsb": 0, "cw": 0, "am": 1, "fm": 4}

_ITEM_BYTES = {0x80: 129, 0x81: 3, 0x82: 3, 0x83: 2, 0x84: 1, 0x85: 7, 0x86: 1, 0x87: 7}
"""A-law sound, sample rate, step of the quantiser, flags, silence, true frequency, a mark, time."""
_SAMPLE_RATE = 0x81


@dataclass(frozen=True, slots=True)
class SiteBand:
    """One of a site's receivers."""

    number: int
    name: str
    center_freq_hz: float
    sample_rate_hz: float

    def __str__(self) -> str:
        half_hz = self.sample_rate_hz / 2
        center = f"{self.center_freq_hz / 1e3:.1f} kHz ± {half_hz / 1e3:.1f}"
        return f"{self.number} {self.name} {center}"

    def holds(self, channel: ChannelSpec) -> bool:
        """Whether a channel lies within it."""
        reach_hz = abs(channel.frequency_hz - self.center_freq_hz) + channel.bandwidth_hz / 2
        return reach_hz <= self.sample_rate_hz / 2


@dataclass(frozen=True, slots=True)
class SitePage:
    """What ``/tmp/bandinfo.js`` says."""

    bands: tuple[SiteBand, ...]
    idle_timeout_s: float | None
    """After so long without a hand at the page, a listener should leave; None: no limit."""

    def band_of(self, channel: ChannelSpec) -> SiteBand | None:
        """The first band that holds a channel."""
        return next((band for band in self.bands if band.holds(channel)), None)


@dataclass(frozen=True, slots=True)
class Sound:
    """What a message says beside sound."""

    levels_db: tuple[float, ...] = ()
    """S-meter readings, on the page's scale, which nobody has verified."""
    sample_rate_hz: int | None = None
    """0: refused, there are too many listeners."""


def read_page(script: str) -> SitePage:
    """Read the site's bands."""
    found = assigned(script, "bandinfo")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_BANDS:
        raise ValueError(f"bandinfo is no list of 1 to {MAX_BANDS} bands")
    try:
        idle_ms = as_number(assigned(script, "idletimeout"), "idletimeout", least=0, greatest=1e12)
    except ValueError:
        idle_ms = 0.0
    bands = tuple(_band(number, band) for number, band in enumerate(found))
    return SitePage(bands, idle_ms / 1e3 if idle_ms else None)


def _band(number: int, found: object) -> SiteBand:
    said = as_object(found, f"band {number}")
    limits = {"least": 1e-3, "greatest": 300e6}
    return SiteBand(
        number=number,
        name=as_words(said.get("name")),
        center_freq_hz=1e3 * as_number(said.get("centerfreq"), "centerfreq", **limits),
        sample_rate_hz=1e3 * as_number(said.get("samplerate"), "samplerate", **limits),
    )


def read_sound(message: bytes) -> Sound:
    """Read a message up to its first coded block, whose length only a decoder knows."""
    if len(message) > MAX_SOUND_BYTES:
        raise ValueError(f"a message of {len(message)} bytes: expected up to {MAX_SOUND_BYTES}")
    levels_db, sample_rate_hz, at = [], None, 0
    while at < len(message):
        tag = message[at]
        if tag < 0x80 or 0x90 <= tag <= 0xDF:
            break
        n_bytes = 2 if tag >= 0xF0 else _ITEM_BYTES.get(tag)
        if n_bytes is None:
            raise ValueError(f"an item of kind {tag:#04x}: expected 0x80 to 0x87, or 0xf0 and over")
        if at + n_bytes > len(message):
            break
        if tag >= 0xF0:
            reading = (tag & 0x0F) << 8 | message[at + 1]
            levels_db.append(DB_PER_STEP * reading + LEAST_LEVEL_DB)
        elif tag == _SAMPLE_RATE:
            sample_rate_hz = int.from_bytes(message[at + 1 : at + 3], "big")
        at += n_bytes
    return Sound(tuple(levels_db), sample_rate_hz)


def tuning(channel: ChannelSpec, *, band: int, mode: Mode, name: str) -> str:
    """The one text that tunes: the filter lies evenly about the channel's centre."""
    half_hz = min(channel.bandwidth_hz / 2, GREATEST_HALF_WIDTH_HZ)
    centre_in_audio_hz = {"usb": half_hz, "lsb": -half_hz, "cw": CW_PITCH_HZ}.get(mode, 0.0)
    said: Sequence[tuple[str, str]] = (
        ("f", f"{(channel.frequency_hz - centre_in_audio_hz) / 1e3:.3f}"),
        ("band", str(band)),
        ("lo", f"{(centre_in_audio_hz - half_hz) / 1e3:.3f}"),
        ("hi", f"{(centre_in_audio_hz + half_hz) / 1e3:.3f}"),
        ("mode", str(MODE_NUMBERS[mode])),
        ("name", name),
    )
    return f"GET /~~param?{urlencode(said)}"
