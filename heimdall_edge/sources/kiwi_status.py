"""What a KiwiSDR's ``/status`` page says before a channel is asked for, and where it stands.

The page is ``key=value`` lines. A place is coarse where its owner wants it so; where he never set
one, the server tells a place of its own making, which is left out here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from heimdall_edge.sources.kiwi_protocol import HOUR_S, MINUTE_S, Refusal
from heimdall_edge.types import Place

MAX_LINES = 200
COARSE_DECIMALS = 2
"""So many decimals of a degree are a kilometre or so: too coarse for arrival times."""
_DEFAULT_PLACES = {(-37.63112, 176.17221), (-69.0, 90.0)}
"""Of a server that was never told where it is: its author's, and the Antarctic."""
_PLACE = re.compile(r"\(?\s*(-?\d{1,3}(?:\.\d{1,20})?)\s*,\s*(-?\d{1,3}(?:\.\d{1,20})?)\s*\)?")
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f\u2063]+")
_MAX_TEXT = 80


@dataclass(frozen=True, slots=True)
class KiwiPlace:
    """A place as a server tells it."""

    place: Place
    is_coarse: bool
    """It was rounded to a kilometre or more."""


@dataclass(frozen=True, slots=True)
class KiwiStatus:
    """The page, as far as it matters here."""

    name: str
    antenna: str
    version: str
    is_offline: bool
    wants_password: bool
    """There is no channel without one."""
    users: int
    users_max: int
    preemptible: int
    """Channels taken by the server's own programs, which make room."""
    low_hz: float
    high_hz: float
    """What it receives; 0 and 0 where it does not say."""
    freq_offset_hz: float
    """What it adds to the frequencies of its own converter: a transverter's."""
    gives_stamps: bool
    place: KiwiPlace | None

    def refusal(self, *, has_password: bool) -> Refusal | None:
        """Why not to ask for a channel now, if there is a reason."""
        if self.is_offline:
            return Refusal("the receiver is offline", 30 * MINUTE_S)
        if has_password:  # its channels are not counted here
            return None
        if self.wants_password:
            return Refusal("it wants a password; ask its owner, set kiwisdr.password_file", HOUR_S)
        if 0 < self.users_max <= self.users and not self.preemptible:
            return Refusal(f"all {self.users_max} channels are taken", 10 * MINUTE_S)
        return None


def parse_status(page: str) -> KiwiStatus:
    """Read the page.

    Raises
    ------
    ValueError
        It is the page of something else.
    """
    lines = page.split("\n", MAX_LINES)[:MAX_LINES]
    said = {key.strip(): value.strip() for key, found, value in map(_split, lines) if found}
    if not {"status", "users_max"} <= said.keys():
        raise ValueError("a page without 'status=' and 'users_max='; expected a KiwiSDR's /status")
    low, _, high = said.get("bands", "").partition("-")
    return KiwiStatus(
        name=_text(said, "name"),
        antenna=_text(said, "antenna"),
        version=_text(said, "sw_version").removeprefix("KiwiSDR_"),
        is_offline=said["status"] == "offline" or said.get("offline") == "yes",
        wants_password=said.get("auth") == "password",
        users=round(_number(said.get("users"))),
        users_max=round(_number(said.get("users_max"))),
        preemptible=round(_number(said.get("preempt"))),
        low_hz=_number(low),
        high_hz=_number(high),
        freq_offset_hz=1e3 * _number(said.get("freq_offset")),
        gives_stamps=_number(said.get("tdoa_ch")) >= 0,
        place=place_in(said.get("gps", ""), altitude_m=_number(said.get("asl"))),
    )


def place_of_configuration(text: str) -> KiwiPlace | None:
    """The place in ``load_cfg``, JSON with ``rx_gps`` and ``rx_asl``; ``None`` where it says none.

    Raises
    ------
    ValueError
        It is no JSON object.
    """
    try:
        said = json.loads(text)
    except RecursionError as error:
        raise ValueError("load_cfg is nested too deep; expected a flat JSON object") from error
    if not isinstance(said, dict):
        raise ValueError("load_cfg is no JSON object")
    altitude, gps = said.get("rx_asl"), said.get("rx_gps")
    altitude_m = float(altitude) if isinstance(altitude, int | float) else 0.0
    return place_in(gps if isinstance(gps, str) else "", altitude_m=altitude_m)


def place_in(text: str, *, altitude_m: float) -> KiwiPlace | None:
    """The place in words such as ``(50.015500, 9.010800)``."""
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        return None
    latitude_deg, longitude_deg = (float(part) for part in match.groups())
    is_default = (round(latitude_deg, 5), round(longitude_deg, 5)) in _DEFAULT_PLACES
    if is_default or abs(latitude_deg) > 90 or abs(longitude_deg) > 180:
        return None
    if latitude_deg == longitude_deg == 0.0:  # a receiver without a fix
        return None
    decimals = max(len(part.partition(".")[2].rstrip("0")) for part in match.groups())
    altitude_m = altitude_m if math.isfinite(altitude_m) and -500 <= altitude_m <= 9_000 else 0.0
    return KiwiPlace(Place(latitude_deg, longitude_deg, altitude_m), decimals <= COARSE_DECIMALS)


def _split(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def _text(said: Mapping[str, str], key: str) -> str:
    """A text without line breaks, short enough for a log line."""
    return " ".join(_NOT_PRINTED.sub(" ", said.get(key, "")).split())[:_MAX_TEXT]


def _number(text: str | None) -> float:
    """A number as the server writes it; 0 where it is none."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and abs(value) < 1e12 else 0.0
