"""A KiwiSDR as a live receiver, 0–30 MHz: IQ with GNSS stamps and levels in dBm.

::

    KiwiSession ─SoundFrame─▶ KiwiBlocks (time, level) ─▶ IQBlock, ci16_be as it came

It is somebody else's machine: one connection a server, pauses of minutes between attempts
(:mod:`~heimdall_edge.sources.public_servers`), an honest name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heimdall_edge import journal
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.dialling import Address, Dialler
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.kiwi_blocks import KiwiBlocks
from heimdall_edge.sources.kiwi_protocol import MANUAL_GAIN_DB
from heimdall_edge.sources.kiwi_session import SETUP_S, STALL_S, KiwiSession
from heimdall_edge.sources.kiwi_setup import Reception, Wish
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.types import IQBlock, Place

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("kiwisdr")

HIGHEST_GAIN_DB = 100.0
MAX_PASSWORD_LENGTH = 256


class KiwiSource(Live):
    """An :class:`~heimdall_edge.sources.base.IQSource`.

    Parameters
    ----------
    wish
        What to ask for; its passwords come from the files.
    servers
        Who talks to which server, and when; shared by all receivers.
    has_place
        The configuration says where the antenna is: the server's own word is left out.
    antenna_height_m
        Above the ground, of the place that the server tells.
    """

    def __init__(
        self,
        *,
        wish: Wish,
        servers: PublicServers,
        host: HostTime | None = None,
        receiver_id: str = "kiwisdr",
        password_file: Path | None = None,
        time_limit_password_file: Path | None = None,
        has_place: bool = False,
        antenna_height_m: float = 0.0,
        setup_s: float = SETUP_S,
        stall_s: float = STALL_S,
    ) -> None:
        self._wish, self._servers, self._host = wish, servers, host or SystemTime()
        self._receiver_id = receiver_id
        self._password_file = password_file
        self._time_limit_password_file = time_limit_password_file
        self._has_place, self._antenna_height_m = has_place, antenna_height_m
        self._setup_s, self._stall_s = setup_s, stall_s
        self._dialler = Dialler()
        self._closed = threading.Event()
        self._session: KiwiSession | None = None
        self._reception: Reception | None = None

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> KiwiSource:
        """The source of a receiver of kind ``kiwisdr``."""
        kiwi = receiver.kiwisdr
        assert kiwi is not None, "the configuration's own check"
        assert receiver.center_freq_hz is not None, "the configuration's own check"
        wish = Wish(
            address=Address(kiwi.host, kiwi.port, kiwi.tls),
            user=kiwi.user or f"heimdall-edge {around.info.station}",
            center_freq_hz=receiver.center_freq_hz,
            half_band_hz=kiwi.half_band_hz,
            agc=receiver.agc,
            gain_db=MANUAL_GAIN_DB if receiver.gain_db is None else receiver.gain_db,
        )
        return cls(
            wish=wish,
            servers=around.servers,
            host=around.host,
            receiver_id=receiver.id,
            password_file=kiwi.password_file,
            time_limit_password_file=kiwi.time_limit_password_file,
            has_place=receiver.latitude_deg is not None,
            antenna_height_m=receiver.antenna_height_m,
        )

    @property
    def device(self) -> str | None:
        return None if self._reception is None else _described(self._reception, self._wish)

    def open(self) -> None:
        """Visit the server, and ask for a channel."""
        self._check_open()
        if not 0 <= self._wish.gain_db <= HIGHEST_GAIN_DB:
            raise SourceDataError(
                f"{self._wish.address}: gain_db = {self._wish.gain_db:g}; "
                f"expected 0 to {HIGHEST_GAIN_DB:g}"
            )
        wish = replace(
            self._wish,
            password=_password(self._password_file),
            time_limit_password=_password(self._time_limit_password_file),
        )
        session = KiwiSession(
            wish,
            dialler=self._dialler,
            servers=self._servers,
            host=self._host,
            setup_s=self._setup_s,
            stall_s=self._stall_s,
        )
        try:
            self._reception = session.open()
        except SourceError as error:
            raise self._left(session, error) from error
        self._session = session
        if self._closed.is_set():  # close() came just before there was a session to leave
            self.close()
            self._check_open()
        self._tell(self._reception)

    def blocks(self) -> Iterator[IQBlock]:
        if self._session is None or self._reception is None:
            raise SourceError(f"{self._wish.address}: KiwiSDR is not open")
        try:
            yield from self._blocks(self._session, self._reception)
        except SourceError as error:
            if self._closed.is_set():
                return
            raise self._left(self._session, error) from error

    def close(self) -> None:
        self._closed.set()
        if (session := self._session) is not None:
            session.hang_up()
            session.leave()
        self._dialler.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise SourceError(f"{self._wish.address}: KiwiSDR was closed")

    def _left(self, session: KiwiSession, error: SourceError) -> SourceError:
        """Leave after an error; the same error, with the pause that the server is owed."""
        pause_s = session.leave(pause_s=error.pause_s)
        return type(error)(str(error), pause_s=max(pause_s, error.pause_s))

    def _tell(self, reception: Reception) -> None:
        """Say in the journal what its operator should know."""
        for note in reception.notes:
            log.warning(
                "kiwi_note", receiver=self._receiver_id, server=reception.address, note=note
            )
        if self._has_place or (reception.place and not reception.place.is_coarse):
            return
        known = "unknown" if reception.place is None else "coarse"
        log.warning(
            "kiwi_place",
            receiver=self._receiver_id,
            server=reception.address,
            place=known,
            advice="set latitude_deg and longitude_deg",
        )

    def _blocks(self, session: KiwiSession, reception: Reception) -> Iterator[IQBlock]:
        blocks = KiwiBlocks(
            nominal_rate_hz=reception.sample_rate_hz,
            center_freq_hz=self._wish.center_freq_hz,
            gain_db=None if self._wish.agc else float(round(self._wish.gain_db)),
            place=self._place(reception),
            host=self._host,
        )
        for frame in session.frames():
            try:
                ready = blocks.take(frame, self._host.monotonic_ns())
            except ValueError as error:
                raise SourceError(f"{reception.address}: {error}") from error
            for block in ready:
                if self._closed.is_set():
                    return
                session.gave_samples()
                yield block

    def _place(self, reception: Reception) -> Place | None:
        if self._has_place or reception.place is None:
            return None
        return replace(reception.place.place, antenna_height_m=self._antenna_height_m)


def _password(path: Path | None) -> str:
    """The first line of a file; never part of any message."""
    if path is None:
        return ""
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(MAX_PASSWORD_LENGTH + 2).rstrip("\r\n")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; expected a password, one line") from error
    except UnicodeDecodeError as error:
        raise SourceDataError(f"{path}: is no UTF-8 text; expected a password") from error
    if not 0 < len(line) <= MAX_PASSWORD_LENGTH:
        raise SourceDataError(f"{path}: expected a password of 1 to {MAX_PASSWORD_LENGTH} letters")
    return line


def _described(reception: Reception, wish: Wish) -> str:
    """A server in words, with the gain and rate in force."""
    status = reception.status
    words = [
        f"KiwiSDR {status.version}".rstrip(),
        str(reception.address),
        f"{status.name!r}" if status.name else "without a name",
        f"antenna {status.antenna!r}" if status.antenna else "antenna unknown",
        "GNSS stamps" if status.gives_stamps else "no GNSS stamps",
        "gain automatic" if wish.agc else f"gain {round(wish.gain_db)} dB",
        f"{reception.sample_rate_hz / 1e3:.3f} ksps",
    ]
    return ", ".join(words)
