"""One visit to a KiwiSDR: look at its page, ask for a channel, tune it, take frames, leave.

::

    GET /status ─▶ websocket ─▶ auth ─▶ MSG … audio_rate, sample_rate ─▶ settings ─▶ SND, SND, …
        └─────────────┴───────────┴── a redirection: the same again there, a few times at most

Each refusal ends the visit with the pause that it asks for. Passwords go to the configured server
only, never to one that it sends us to.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TypeVar

from heimdall_edge import journal
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address, Dialler
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.kiwi_frames import SOUND_TAG, SoundFrame, parse_sound
from heimdall_edge.sources.kiwi_protocol import (
    KEEPALIVE,
    MESSAGE_TAG,
    authorisation,
    parse_message,
)
from heimdall_edge.sources.kiwi_setup import KiwiSetup, Reception, Wish, refused
from heimdall_edge.sources.kiwi_status import KiwiStatus, parse_status
from heimdall_edge.sources.public_servers import Lease, PublicServers
from heimdall_edge.sources.redirection import next_address
from heimdall_edge.sources.web_page import fetch_page
from heimdall_edge.sources.websocket import ElsewhereError, SilenceError, WebSocket
from heimdall_edge.types import NS_PER_S

log = journal.logger("kiwisdr")

SETUP_S = 15.0
"""From the websocket to the settings; the server itself waits 20 s for the password."""
STALL_S = 5.0
KEEPALIVE_NS = 5 * NS_PER_S
"""The server closes after 60 s without one."""
MAX_STATUS_BYTES = 64 * 1024

Parsed = TypeVar("Parsed")


class KiwiSession:
    """One visit; ``open`` and ``frames`` belong to one thread, ``hang_up`` to any.

    Parameters
    ----------
    setup_s
        How long each step up to the settings may take.
    stall_s
        How long the server may send no samples.
    """

    def __init__(
        self,
        wish: Wish,
        *,
        dialler: Dialler,
        servers: PublicServers,
        host: HostTime,
        setup_s: float = SETUP_S,
        stall_s: float = STALL_S,
    ) -> None:
        self._wish, self._dialler, self._servers, self._host = wish, dialler, servers, host
        self._setup_s, self._stall_s = setup_s, stall_s
        self._lease: Lease | None = None
        self._websocket: WebSocket | None = None
        self._address = wish.address
        self._setup = KiwiSetup(wish.address)
        self._kept_alive_ns = 0

    def open(self) -> Reception:
        """Ask for a channel, following redirections; SourceError where there is none."""
        asked: list[Address] = []
        while True:
            try:
                self._lease = self._servers.lease(self._address.host, self._address.port)
                asked.append(self._address)
                return self._ask()
            except ElsewhereError as error:
                self.leave()
                self._address = next_address(error.location, asked)
                log.warning("kiwi_redirected", server=asked[-1], goes_to=self._address)

    def frames(self) -> Iterator[SoundFrame]:
        """Frames as they come, for ever; SourceError when they stop, or the server says why."""
        deadline_ns = self._after_ns(self._stall_s)
        while True:
            message = self._receive(deadline_ns, f"no samples for {self._stall_s:g} s")
            if message.startswith(SOUND_TAG):
                self._keep_alive()
                yield self._parsed(parse_sound, message)
                deadline_ns = self._after_ns(self._stall_s)  # whoever took it may have taken long
            elif message.startswith(MESSAGE_TAG):
                self._setup.heed(self._parsed(parse_message, message))

    def gave_samples(self) -> None:
        """The visit was worth it."""
        if self._lease is not None:
            self._lease.gave_samples()

    def hang_up(self) -> None:
        """End the connection, whatever it is about; idempotent, from any thread."""
        if (websocket := self._websocket) is not None:
            websocket.close()
        self._dialler.close()

    def leave(self, *, pause_s: float = 0.0) -> float:
        """End the visit to this server; gives how long it is to be left alone, seconds."""
        if (websocket := self._websocket) is not None:
            websocket.close()
        return pause_s if self._lease is None else self._lease.release(pause_s=pause_s)

    # ── set-up ────────────────────────────────────────────────────────────────────────────

    def _ask(self) -> Reception:
        """Ask this server; it must not have been asked before by this visit."""
        is_ours = self._address == self._wish.address
        password = self._wish.password if is_ours else ""
        status = self._look(has_password=bool(password))
        # Seconds and a random part: it tells the sessions of one address apart.
        session = f"{self._host.utc_ns() // NS_PER_S}{secrets.randbelow(1000):03d}"
        path = f"/{session}/SND"
        self._websocket = WebSocket.open(
            self._dialler, self._address, path, timeout_s=self._setup_s
        )
        time_limit_password = self._wish.time_limit_password if is_ours else ""
        self._send(authorisation(password, time_limit_password=time_limit_password))
        return self._tune(status)

    def _look(self, *, has_password: bool) -> KiwiStatus:
        """Its page, before it is bothered for a channel."""
        page = fetch_page(
            self._dialler,
            self._address,
            "/status",
            timeout_s=self._setup_s,
            max_bytes=MAX_STATUS_BYTES,
        )
        if 300 <= page.status < 400 and page.location:
            raise ElsewhereError(f"{self._address}: HTTP {page.status}", location=page.location)
        if page.status != 200:
            raise SourceError(
                f"{self._address}: HTTP {page.status} for /status; expected a KiwiSDR's page"
            )
        try:
            status = parse_status(page.text)
        except ValueError as error:
            raise SourceError(f"{self._address}: {error}") from error
        if refusal := status.refusal(has_password=has_password):
            raise refused(self._address, refusal)
        return status

    def _tune(self, status: KiwiStatus) -> Reception:
        """Listen until it has said all, then answer."""
        self._setup = KiwiSetup(self._address)
        deadline_ns = self._after_ns(self._setup_s)
        while not self._setup.is_complete:
            message = self._receive(deadline_ns, f"no sample rate within {self._setup_s:g} s")
            if message.startswith(MESSAGE_TAG):
                self._setup.heed(self._parsed(parse_message, message))
        reception = self._setup.reception(self._wish, status)
        for words in self._setup.answers(self._wish, reception):
            self._send(words)
        return reception

    # ── words ─────────────────────────────────────────────────────────────────────────────

    def _after_ns(self, duration_s: float) -> int:
        return self._host.monotonic_ns() + round(duration_s * NS_PER_S)

    def _receive(self, deadline_ns: int, otherwise: str) -> bytes:
        """The next message; text, which no KiwiSDR sends, is taken as bytes."""
        assert self._websocket is not None
        left_s = (deadline_ns - self._host.monotonic_ns()) / NS_PER_S
        try:
            if left_s <= 0:
                raise SilenceError("too late")
            message = self._websocket.receive(timeout_s=left_s)
        except SilenceError as error:
            raise SourceError(f"{self._address}: {otherwise}") from error
        return message if isinstance(message, bytes) else message.encode()

    def _parsed(self, parse: Callable[[bytes], Parsed], message: bytes) -> Parsed:
        try:
            return parse(message)
        except ValueError as error:
            raise SourceError(f"{self._address}: {error}") from error

    def _send(self, words: str) -> None:
        assert self._websocket is not None
        self._websocket.send(words)

    def _keep_alive(self) -> None:
        now_ns = self._host.monotonic_ns()
        if now_ns - self._kept_alive_ns >= KEEPALIVE_NS:
            self._kept_alive_ns = now_ns
            self._send(KEEPALIVE)
