"""Setting a KiwiSDR up: what it must have said, what it is asked for, and what one gets.

::

    MSG … ─▶ KiwiSetup.heed ─▶ is_complete ─▶ reception(wish, status) ─▶ answers(wish, reception)
               SourceError: a refusal; ElsewhereError: a redirection

Pure: the words come and go elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.kiwi_protocol import (
    Refusal,
    half_band_limit_hz,
    rate_accepted,
    refusal_in,
    settings_for,
)
from heimdall_edge.sources.kiwi_status import KiwiPlace, KiwiStatus, place_of_configuration
from heimdall_edge.sources.websocket import ElsewhereError

AUDIO_RATES_HZ = (8_000, 48_000)
RATE_TOLERANCE = 0.01
WIDEST_HZ = 32e6
_HEEDED = ("freq_offset", "audio_rate", "sample_rate", "load_cfg")


@dataclass(frozen=True, slots=True)
class Wish:
    """What we want of a receiver."""

    address: Address
    user: str
    """Who we are; shown to its owner."""
    center_freq_hz: float
    half_band_hz: float
    agc: bool
    gain_db: float
    """Manual gain, while ``agc`` is off."""
    password: str = field(default="", repr=False)
    time_limit_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reception:
    """What we got."""

    address: Address
    """Of the server that serves us in the end."""
    status: KiwiStatus
    sample_rate_hz: float
    """As it says; its stamps know better."""
    half_band_hz: float
    freq_offset_hz: float
    place: KiwiPlace | None
    notes: tuple[str, ...] = ()
    """What is not as it was wished or expected, in words."""


def refused(address: Address, refusal: Refusal) -> SourceError:
    """The error that ends a visit, with the pause that the server asks for."""
    return SourceError(f"{address}: {refusal.reason}", pause_s=refusal.pause_s)


class KiwiSetup:
    """What one server has said so far."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._said: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether it has said all that an answer needs."""
        return "sample_rate" in self._said and "audio_rate" in self._said

    def heed(self, said: Mapping[str, str]) -> None:
        """Take notice of a message, during the set-up and after it.

        Raises
        ------
        ElsewhereError
            It sends us to another server.
        SourceError
            It refuses, or has moved its frequency offset.
        """
        if url := said.get("redirect"):
            raise ElsewhereError(f"{self._address}: sends us to {url[:200]!r}", location=url)
        if refusal := refusal_in(said):
            raise refused(self._address, refusal)
        offset, before = said.get("freq_offset"), self._said.get("freq_offset")
        if offset is not None and before is not None and offset != before:
            raise SourceError(
                f"{self._address}: its frequency offset went from {before[:16]!r} to "
                f"{offset[:16]!r} kHz; it must be tuned anew"
            )
        self._said |= {name: said[name] for name in _HEEDED if name in said}

    def reception(self, wish: Wish, status: KiwiStatus) -> Reception:
        """What we get.

        Raises
        ------
        SourceDataError
            It does not receive what we want.
        SourceError
            Its rates are none that go together.
        """
        audio_rate_hz = self._audio_rate_hz()
        sample_rate_hz = self._number("sample_rate")
        if not math.isclose(sample_rate_hz, audio_rate_hz, rel_tol=RATE_TOLERANCE):
            raise SourceError(
                f"{self._address}: sample_rate={sample_rate_hz:g} at audio_rate={audio_rate_hz}; "
                "expected nearly the same (a wide-band server is not supported)"
            )
        freq_offset_hz = 1e3 * self._number("freq_offset", otherwise=status.freq_offset_hz / 1e3)
        self._check_band(wish, status, freq_offset_hz)
        limit_hz = half_band_limit_hz(audio_rate_hz)
        place, unread = self._place()
        cut = f"the pass band is cut to ±{limit_hz:g} Hz" if limit_hz < wish.half_band_hz else ""
        return Reception(
            address=self._address,
            status=status,
            sample_rate_hz=sample_rate_hz,
            half_band_hz=min(limit_hz, wish.half_band_hz),
            freq_offset_hz=freq_offset_hz,
            place=place or status.place,
            notes=tuple(note for note in (cut, unread) if note),
        )

    def answers(self, wish: Wish, reception: Reception) -> tuple[str, ...]:
        """All that it must be told before it sends samples."""
        settings = settings_for(
            user=wish.user,
            baseband_hz=wish.center_freq_hz - reception.freq_offset_hz,
            half_band_hz=reception.half_band_hz,
            agc=wish.agc,
            gain_db=wish.gain_db,
        )
        return (rate_accepted(self._audio_rate_hz()), *settings)

    def _check_band(self, wish: Wish, status: KiwiStatus, freq_offset_hz: float) -> None:
        low_hz, high_hz = status.low_hz, status.high_hz
        if not high_hz > low_hz:
            low_hz, high_hz = freq_offset_hz, freq_offset_hz + WIDEST_HZ
        if not low_hz <= wish.center_freq_hz <= high_hz:
            raise SourceDataError(
                f"{self._address}: center_freq_hz = {wish.center_freq_hz:.0f} is outside of what "
                f"it receives; expected {low_hz:.0f} to {high_hz:.0f}"
            )

    def _place(self) -> tuple[KiwiPlace | None, str]:
        """Of its configuration, which it sends with each session; and why it cannot be read."""
        try:
            return place_of_configuration(self._said.get("load_cfg", "{}")), ""
        except ValueError as error:
            return None, f"its configuration cannot be read: {str(error)[:80]}"

    def _audio_rate_hz(self) -> int:
        rate_hz = self._number("audio_rate")
        low_hz, high_hz = AUDIO_RATES_HZ
        if not low_hz <= rate_hz <= high_hz:
            raise SourceError(
                f"{self._address}: audio_rate={rate_hz:g}; expected {low_hz} to {high_hz} Hz"
            )
        return round(rate_hz)

    def _number(self, name: str, *, otherwise: float = math.nan) -> float:
        text = self._said.get(name)
        try:
            value = otherwise if text is None else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise SourceError(f"{self._address}: {name}={(text or '')[:40]!r}; expected a number")
        return value
