"""An OpenWebRX or OpenWebRX+ page as a receiver: levels of its channels, never a sample.

::

    GET /status.json ── websocket: greeting, config ──▶ OpenWebRxFeed ─▶ Observation, Listening

Its owner's, and other listeners': one connection a server, pauses of minutes, and the profile is
never changed. While somebody else has it on another band, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heimdall_edge import journal
from heimdall_edge.config import Channel
from heimdall_edge.config_kinds import OpenWebRx
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.channel_levels import Said
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.openwebrx_feed import OpenWebRxFeed
from heimdall_edge.sources.openwebrx_protocol import greeting, server_version
from heimdall_edge.sources.openwebrx_status import Status, named, read_status
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.web_visit import WebVisit
from heimdall_edge.sources.websocket import USER_AGENT
from heimdall_edge.types import ReceiverInfo

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("openwebrx")

GREETING_S = 10.0
STALL_S = 5.0
START_S = 30.0
"""A device that nobody used may take its time to start, and to change its band."""
PATIENCE_S = 120.0
"""How long a seat is kept while the receiver is tuned elsewhere."""
ELSEWHERE_PAUSE_S = 300.0
SESSION_PAUSE_S = 600.0


class OpenWebRxSource(Live):
    """An :class:`~heimdall_edge.sources.base.ObservationSource`.

    Parameters
    ----------
    receiver
        Of kind ``openwebrx``.
    info
        Who hears; where the configuration gives no place, the server's own is taken.
    channels
        What to listen to.
    host
        The clocks that stamp what arrives.
    servers
        Remembers which servers want peace; one for all receivers of a station.
    stall_s, start_s, patience_s
        How long to wait for a row; for one after a change of band; for the band to come back.
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
        start_s: float = START_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        settings = receiver.openwebrx
        if settings is None:
            raise ValueError(f"{receiver.id}: an OpenWebRX receiver needs its table")
        self._settings: OpenWebRx = settings
        self._receiver_id = receiver.id
        self._channels = tuple(channels)
        self._place_is_theirs = receiver.latitude_deg is None
        self._stall_s, self._start_s, self._patience_s = stall_s, start_s, patience_s
        self._feed = OpenWebRxFeed(
            receiver=info,
            channels=self._channels,
            min_duration_s=settings.min_duration_s,
            place_is_theirs=self._place_is_theirs,
        )
        self._visit = WebVisit(
            Address(settings.host, settings.port, settings.tls),
            servers=servers or PublicServers(),
            host=host or SystemTime(),
        )
        self._device: str | None = None
        self._status_page: Status | None = None
        self._opened_s = self._last_row_s = self._last_useful_s = 0.0

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> OpenWebRxSource:
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
        """Connect, and wait until the server says what it is tuned to.

        Raises
        ------
        SourceError
            It is away, full, asleep, or tuned to where no channel is.
        SourceDataError
            A channel's settings leave nothing to find, or nobody knows where the antenna is.
        """
        self._check_settings()
        self._visit.begin()
        try:
            self._connect()
        except SourceError as error:
            self._visit.give_up(error)
            raise
        self._opened_s = self._last_row_s = self._last_useful_s = self._visit.now_s()

    def observations(self) -> Iterator[Said]:
        """Give what was heard, and how far that is decided, until closed."""
        if not self._visit.is_connected:
            raise SourceError(f"{self._visit.address}: is not open")
        try:
            while not self._visit.is_closed:
                yield from self._next()
        except SourceError as error:
            if self._visit.is_closed:
                return
            self._visit.give_up(error)
            yield from self._feed.flush()
            raise
        finally:
            self._visit.hang_up()

    def close(self) -> None:
        self._visit.close()

    # ── opening ───────────────────────────────────────────────────────────────────────────

    def _check_settings(self) -> None:
        for channel in self._channels:
            least_s = self._settings.min_duration_s
            if channel.mode == "burst" and least_s >= channel.max_duration_s:
                raise SourceDataError(
                    f"{self._receiver_id}: openwebrx.min_duration_s {least_s:g} leaves nothing of "
                    f"channel {channel.name}: expected under its max_duration_s "
                    f"{channel.max_duration_s:g}"
                )

    def _connect(self) -> None:
        status = self._status_page = self._status()
        if status is not None:
            self._check_profiles(status)
            if status.place is not None:
                self._feed.place_is(status.place)
        self._visit.connect(self._settings.path)
        self._visit.send(greeting(USER_AGENT))
        version = self._greeted()
        self._wait_for_band()
        self._check_band(status)
        if self._place_is_theirs and self._feed.place is None:
            raise SourceDataError(
                f"{self._visit.address}: does not say where it is; expected latitude_deg and "
                f"longitude_deg of receiver {self._receiver_id}"
            )
        name = status.name if status and status.name else "OpenWebRX"
        low_hz, high_hz = self._feed.band.edges_hz
        self._device = f"{name} ({version}), {low_hz / 1e6:.4f}–{high_hz / 1e6:.4f} MHz"
        seats = status.max_clients if status else None
        log.info("opened", receiver=self._receiver_id, device=self._device, seats=seats or "?")

    def _status(self) -> Status | None:
        """Its status page; None where it has none that can be read (a proxy may hide it)."""
        path = self._settings.path.removesuffix("/").removesuffix("ws") + "status.json"
        page = self._visit.page(path)
        try:
            if page.status != 200:
                raise ValueError(f"HTTP {page.status}")
            return read_status(page.text)
        except ValueError as error:
            log.warning("no_status_page", receiver=self._receiver_id, path=path, reason=str(error))
            return None

    def _greeted(self) -> str:
        deadline_s = self._visit.now_s() + GREETING_S
        message = self._visit.receive(deadline_s, f"no greeting for {GREETING_S:g} s")
        try:
            if isinstance(message, bytes):
                raise ValueError("greeting is binary: expected 'CLIENT DE SERVER server=…'")
            return server_version(message)
        except ValueError as error:
            raise SourceError(f"{self._visit.address}: {error}") from error

    def _wait_for_band(self) -> None:
        deadline_s = self._visit.now_s() + self._start_s
        complaint = (
            f"does not say what it is tuned to for {self._start_s:g} s; expected a config with "
            "center_freq, samp_rate, fft_size and fft_compression"
        )
        while not self._feed.band.is_whole:
            self._take(self._visit.receive(deadline_s, complaint))

    def _check_profiles(self, status: Status) -> None:
        """Whether any profile could serve any channel."""
        if status.profiles and not status.fitting([c.spec for c in self._channels]):
            raise SourceError(
                f"{self._visit.address}: no profile holds {self._channel_names}; "
                f"it offers {named(status.profiles)}",
                pause_s=ELSEWHERE_PAUSE_S,
            )

    def _check_band(self, status: Status | None) -> None:
        """Whether the band of now serves any channel."""
        if self._feed.listens_to:
            return
        low_hz, high_hz = self._feed.band.edges_hz
        fitting = status.fitting([c.spec for c in self._channels]) if status else ()
        raise SourceError(
            f"{self._visit.address}: is tuned to {(low_hz + high_hz) / 2e6:.4f} MHz ± "
            f"{(high_hz - low_hz) / 2e6:.4f}, where it cannot measure {self._channel_names}; "
            f"profiles that could: {named(fitting)} (its listeners choose, this daemon never does)",
            pause_s=ELSEWHERE_PAUSE_S,
        )

    @property
    def _channel_names(self) -> str:
        return ", ".join(f"{c.name} ({c.frequency_hz / 1e6:.4f} MHz)" for c in self._channels)

    # ── listening ─────────────────────────────────────────────────────────────────────────

    def _next(self) -> list[Said]:
        """Take the next message; raises SourceError where none is worth waiting for."""
        self._check_session()
        limit_s = self._stall_s if self._feed.is_settled(self._visit.now_s()) else self._start_s
        complaint = f"no row of its spectrum for {limit_s:g} s"
        n_rows = self._feed.n_rows
        said = self._take(self._visit.receive(self._last_row_s + limit_s, complaint))
        now_s = self._visit.now_s()
        if self._feed.n_rows > n_rows:
            self._last_row_s = now_s
        if self._feed.listens_to:
            self._last_useful_s = now_s
        elif now_s - self._last_useful_s > self._patience_s:
            self._check_band(self._status_page)
        if said:
            self._visit.was_worth_it()
        return said

    def _check_session(self) -> None:
        """Leave when the owner wants listeners to leave; a row later matters to nobody."""
        session_s = self._feed.session_s
        if session_s is not None and self._visit.now_s() > self._opened_s + session_s:
            raise SourceError(
                f"{self._visit.address}: its owner lets a listener stay {session_s:g} s: left",
                pause_s=SESSION_PAUSE_S,
            )

    def _take(self, message: str | bytes) -> list[Said]:
        try:
            said = self._feed.take(message, self._visit.moment())
        except SourceError as error:
            raise SourceError(f"{self._visit.address}: {error}", pause_s=error.pause_s) from error
        outgoing, self._feed.outgoing = self._feed.outgoing, []
        for text in outgoing:
            self._visit.send(text)
        notes, self._feed.notes = self._feed.notes, []
        for note in notes:
            write = log.warning if note.is_warning else log.info
            write(note.event, receiver=self._receiver_id, **note.fields)
        return said
