"""A WebSDR.org page as a receiver: the S-meter of one channel, and nothing else. UNVERIFIED.

::

    GET /tmp/bandinfo.js ── websocket: tune once ──▶ S-meter ─▶ ChannelLevels ─▶ Observation

Its author never published the interface; see :mod:`~heimdall_edge.sources.websdr_protocol`. Its
owner's, and other listeners': one connection a server, pauses of minutes, and we leave when the
site's own idle time-out would have a listener leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heimdall_edge import journal
from heimdall_edge.config import Channel
from heimdall_edge.config_kinds import WebSdr
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.signal.level_spans import to_db, to_power
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.channel_levels import ChannelLevels, Moment, Reading, Said
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.web_visit import WebVisit
from heimdall_edge.sources.websdr_protocol import SiteBand, SitePage, read_page, read_sound, tuning
from heimdall_edge.types import ReceiverInfo

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("websdr")

PAGE_PATH, STREAM_PATH = "/tmp/bandinfo.js", "/~~stream?v=11"  # noqa: S108 - a path on the site
CLIENT_NAME = "heimdall-edge"
STALL_S = 5.0
READING_S = 0.1
"""Readings nearer to each other than this are averaged: they come with each block of sound."""
SETTLE_S = 1.0
"""Before the receiver is tuned, readings are of somewhere else."""
LATENCY_SIGMA_S = 0.5
"""The sound's buffers, and the way through the net."""
BUSY_PAUSE_S = 600.0
ELSEWHERE_PAUSE_S = 3_600.0
MAX_MALFORMED = 20


class WebSdrSource(Live):
    """An :class:`~heimdall_edge.sources.base.ObservationSource`.

    Parameters
    ----------
    receiver
        Of kind ``websdr``.
    info
        Who hears.
    channels
        Exactly one: a listener has one receiver.
    host
        The clocks that stamp what arrives.
    servers
        Remembers which servers want peace; one for all receivers of a station.
    stall_s
        How long to wait for a reading.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        info: ReceiverInfo,
        channels: Sequence[Channel],
        host: HostTime | None = None,
        servers: PublicServers | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        settings = receiver.websdr
        if settings is None:
            raise ValueError(f"{receiver.id}: a WebSDR receiver needs its table")
        self._settings: WebSdr = settings
        self._receiver_id = receiver.id
        self._has_place = receiver.latitude_deg is not None
        self._info = info
        self._channels = tuple(channels)
        self._stall_s = stall_s
        self._visit = WebVisit(
            Address(settings.host, settings.port, settings.tls),
            servers=servers or PublicServers(),
            host=host or SystemTime(),
        )
        self._device: str | None = None
        self._levels: ChannelLevels | None = None
        self._pending: list[float] = []
        self._opened_s = self._last_reading_s = self._last_taken_s = 0.0
        self._leaves_s = math.inf
        self._n_malformed = 0

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> WebSdrSource:
        """The source that a receiver's table asks for."""
        return cls(
            receiver=receiver,
            info=around.info,
            channels=around.channels,
            host=around.host,
            servers=around.servers,
        )

    @property
    def device(self) -> str | None:
        return self._device

    def open(self) -> None:
        """Read the site's bands, connect, and tune once.

        Raises
        ------
        SourceError
            It is away, or no band of it holds the channel.
        SourceDataError
            The configuration names more than one channel, no place, or a band that cannot be.
        """
        channel = self._checked_channel()
        self._visit.begin()
        try:
            self._connect(channel)
        except SourceError as error:
            self._visit.give_up(error)
            raise

    def observations(self) -> Iterator[Said]:
        """Give what was heard, and how far that is decided, until closed."""
        levels = self._levels
        if levels is None:
            raise SourceError(f"{self._visit.address}: is not open")
        try:
            while not self._visit.is_closed:
                yield from self._next(levels)
        except SourceError as error:
            if self._visit.is_closed:
                return
            self._visit.give_up(error)
            yield from levels.flush()
            raise
        finally:
            self._visit.hang_up()

    def close(self) -> None:
        self._visit.close()

    # ── opening ───────────────────────────────────────────────────────────────────────────

    def _checked_channel(self) -> Channel:
        if len(self._channels) != 1:
            names = ", ".join(channel.name for channel in self._channels) or "none"
            raise SourceDataError(
                f"{self._receiver_id}: a WebSDR has one S-meter, and watches {names}; "
                "expected one name in channels"
            )
        if not self._has_place:
            raise SourceDataError(
                f"{self._receiver_id}: a WebSDR does not say where it is; "
                "expected latitude_deg and longitude_deg"
            )
        return self._channels[0]

    def _connect(self, channel: Channel) -> None:
        page = self._site_page()
        band = self._band(page, channel)
        scheme = "https" if self._visit.address.tls else "http"
        self._visit.connect(STREAM_PATH, headers={"Origin": f"{scheme}://{self._visit.address}"})
        mode = self._settings.mode
        self._visit.send(tuning(channel.spec, band=band.number, mode=mode, name=CLIENT_NAME))
        self._opened_s = self._last_reading_s = self._last_taken_s = self._visit.now_s()
        if page.idle_timeout_s is not None:
            self._leaves_s = self._opened_s + page.idle_timeout_s
        self._levels = ChannelLevels(channel=channel, receiver=self._info)
        self._device = f"WebSDR.org, band {band}, {mode} (unverified protocol, relative levels)"
        log.warning(
            "unverified_protocol",
            receiver=self._receiver_id,
            device=self._device,
            idle_timeout_s=page.idle_timeout_s or "none",
        )

    def _site_page(self) -> SitePage:
        page = self._visit.page(PAGE_PATH)
        try:
            if page.status != 200:
                raise ValueError(f"HTTP {page.status}")
            return read_page(page.text)
        except ValueError as error:
            raise SourceError(
                f"{self._visit.address}: {PAGE_PATH}: {error}; expected a WebSDR.org site",
                pause_s=BUSY_PAUSE_S,
            ) from error

    def _band(self, page: SitePage, channel: Channel) -> SiteBand:
        wanted = self._settings.band
        offers = f"it has {', '.join(str(band) for band in page.bands[:12])}"
        name = f"{channel.name} ({channel.frequency_hz / 1e3:.1f} kHz)"
        if wanted is None:
            band = page.band_of(channel.spec)
            if band is None:
                raise SourceError(
                    f"{self._visit.address}: no band holds {name}; {offers}",
                    pause_s=ELSEWHERE_PAUSE_S,
                )
            return band
        if wanted >= len(page.bands) or not page.bands[wanted].holds(channel.spec):
            raise SourceDataError(
                f"{self._visit.address}: band {wanted} does not hold {name}; {offers}"
            )
        return page.bands[wanted]

    # ── listening ─────────────────────────────────────────────────────────────────────────

    def _next(self, levels: ChannelLevels) -> list[Said]:
        """Take the next message; raises SourceError where none is worth waiting for."""
        deadline_s = min(self._last_reading_s + self._stall_s, self._leaves_s)
        complaint = f"no S-meter reading for {self._stall_s:g} s"
        if self._leaves_s <= self._last_reading_s + self._stall_s:
            complaint = "the site's idle time-out has come: left as a listener should"
        try:
            message = self._visit.receive(deadline_s, complaint)
        except SourceError as error:
            if self._visit.now_s() >= self._leaves_s:
                raise SourceError(str(error), pause_s=BUSY_PAUSE_S) from error
            raise
        return self._take(message, levels) if isinstance(message, bytes) else []

    def _take(self, message: bytes, levels: ChannelLevels) -> list[Said]:
        try:
            sound = read_sound(message)
        except ValueError as error:
            self._malformed(error)
            return []
        self._n_malformed = 0
        if sound.sample_rate_hz == 0:
            raise SourceError(
                f"{self._visit.address}: refused: too many listeners", pause_s=BUSY_PAUSE_S
            )
        moment = self._visit.moment()
        if sound.levels_db:
            self._last_reading_s = moment.monotonic_s
            self._pending += sound.levels_db
        if moment.monotonic_s < self._opened_s + SETTLE_S:
            self._pending.clear()
        if not self._pending or moment.monotonic_s - self._last_taken_s < READING_S:
            return []
        return self._hear(moment, levels)

    def _hear(self, moment: Moment, levels: ChannelLevels) -> list[Said]:
        """Take the mean power of the readings since the last time."""
        power = sum(to_power(level_db) for level_db in self._pending) / len(self._pending)
        self._pending.clear()
        self._last_taken_s = moment.monotonic_s
        sigma_s = math.hypot(moment.clock.sigma_s or 0.0, LATENCY_SIGMA_S)
        clock = replace(moment.clock, sigma_s=sigma_s, locked=False)
        said = levels.hear(Reading(to_db(power)), replace(moment, clock=clock))
        if said:
            self._visit.was_worth_it()
        return said

    def _malformed(self, error: ValueError) -> None:
        self._n_malformed += 1
        if self._n_malformed == 1:
            log.warning("message_refused", receiver=self._receiver_id, reason=str(error))
        if self._n_malformed >= MAX_MALFORMED:
            raise SourceError(
                f"{self._visit.address}: {MAX_MALFORMED} malformed messages in a row: {error}"
            )
