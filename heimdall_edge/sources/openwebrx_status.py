"""An OpenWebRX server's own page, ``/status.json``: who it is, where, and what bands it offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.sources.json_checks import as_number, as_object, as_place, as_words, parsed
from heimdall_edge.types import ChannelSpec, Place

MAX_TEXT_CHARS = 1 << 20
GREATEST_HZ = 300e9
MAX_PROFILES = 1024
MAX_NAMED_PROFILES = 12


@dataclass(frozen=True, slots=True)
class Profile:
    """A band that the receiver's owner offers."""

    name: str
    """SDR and profile, by their owner's names."""
    center_freq_hz: float
    sample_rate_hz: float

    def __str__(self) -> str:
        half_hz = self.sample_rate_hz / 2
        return f"{self.name} {self.center_freq_hz / 1e6:.4f} MHz ± {half_hz / 1e6:.4f}"

    def holds(self, channel: ChannelSpec) -> bool:
        """Whether a channel lies within it."""
        reach_hz = abs(channel.frequency_hz - self.center_freq_hz) + channel.bandwidth_hz / 2
        return reach_hz <= self.sample_rate_hz / 2


@dataclass(frozen=True, slots=True)
class Status:
    """What ``/status.json`` says."""

    name: str
    version: str
    max_clients: int | None
    place: Place | None
    profiles: tuple[Profile, ...]

    def fitting(self, channels: Sequence[ChannelSpec]) -> tuple[Profile, ...]:
        """The profiles that hold at least one of the channels."""
        return tuple(p for p in self.profiles if any(p.holds(c) for c in channels))


def read_status(text: str) -> Status:
    """Read ``/status.json``."""
    said = as_object(parsed(text, max_chars=MAX_TEXT_CHARS), "status")
    about = as_object(said.get("receiver", {}), "receiver")
    max_clients = said.get("max_clients")
    return Status(
        name=as_words(about.get("name")),
        version=as_words(said.get("version")),
        max_clients=max_clients if type(max_clients) is int else None,
        place=as_place(about.get("gps"), about.get("asl")),
        profiles=tuple(_profiles(said.get("sdrs", [])))[:MAX_PROFILES],
    )


def named(profiles: Sequence[Profile]) -> str:
    """Profiles in words, not too many of them."""
    more = len(profiles) - MAX_NAMED_PROFILES
    names = [str(profile) for profile in profiles[:MAX_NAMED_PROFILES]]
    return ", ".join(names + ([f"{more} more"] if more > 0 else [])) or "none"


def _profiles(sdrs: object) -> list[Profile]:
    """Those that can be read; an odd one is passed over."""
    found = []
    for sdr in sdrs if isinstance(sdrs, list) else []:
        if not isinstance(sdr, dict) or not isinstance(sdr.get("profiles"), list):
            continue
        for profile in sdr["profiles"]:
            try:
                said = as_object(profile, "profile")
                center_hz = as_number(said.get("center_freq"), "", least=1.0, greatest=GREATEST_HZ)
                rate_hz = as_number(said.get("sample_rate"), "", least=1.0, greatest=GREATEST_HZ)
            except ValueError:
                continue
            name = f"{as_words(sdr.get('name'))}/{as_words(said.get('name'))}"
            found.append(Profile(name, center_hz, rate_hz))
    return found
