"""A KiwiSDR that speaks the documented bytes: /status, websocket, MSG, SND frames of IQ."""

from __future__ import annotations

import contextlib
import http
import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from tests.emulators.kiwi_air import AirTime, Noise, Recording
from tests.emulators.kiwi_visit import Visit, VisitEndedError

QUIET = logging.Logger("emulator", logging.CRITICAL + 1)


@dataclass
class Quirks:
    """What is to go wrong with the next frame."""

    lost_frames: int = 0
    lost_samples: int = 0
    outlier_ns: int = 0
    cut_bytes: int = 0
    messages: list[bytes] = field(default_factory=list)


class KiwiServer:
    """A context manager; ``host`` and ``port`` say where it listens.

    Faults, which may be set at any time from any thread:

    * ``refuse``: what a visitor meets instead of samples: ``too_busy``, ``badp 1`` … ``badp 7``,
      ``down 0`` … ``down 2``, ``wb_only``, ``exclusive_use``, ``password_timeout``, ``ip_limit``,
      ``inactivity_timeout``, ``camp_disconnect``, ``close`` (without a word), ``silent`` (after
      the password, nothing), ``mute`` (after the settings, nothing), ``redirect`` (MSG),
      ``http_redirect`` (3xx to the websocket), ``status_redirect`` (3xx to /status),
      ``busy_status``, ``offline``, ``no_status``, ``garbage_status``. ``redirect_to``
      says where to; ``is_abrupt = True`` hangs up without a closing handshake.
    * ``kill()``, ``restart()`` on the same port; ``drop()`` hangs up on everybody; ``stall()``,
      ``resume()``; ``stall_after`` so many frames; ``trickle()`` sends a byte a
      second of a frame that never ends.
    * ``say(words)`` sends a MSG, ``send_raw(bytes)`` any message, ``send_garbage()``,
      ``half_header = True`` cuts the next frame within its header, ``send_oversize()``.
    * ``lose_frames(n)`` leaves a gap in the sequence numbers, ``lose_samples(n)`` one that the
      stamps alone show, ``stamp_shift_ns`` moves all stamps from now on, ``outlier(ns)`` one of
      them; ``stamps = False`` gives none; ``age_s`` is how long ago the last position was;
      ``overflow = True`` flags an overflowing converter; ``meter_floor = True`` reads −127 dBm.

    * ``password``: of all its channels; ``time_limit_password``: without it, the time is up.

    What it saw: ``commands`` (all texts of all visits), ``visits``, ``most_at_once``,
    ``status_asked``, ``frames_sent``, ``first_number`` (the air's frame that a visit began with).

    Time: it sends ``time.speed`` times as fast as the converter samples, and stamps stay what they
    are; so a client's clocks must go as fast: give it the same :class:`AirTime`.
    """

    def __init__(
        self,
        air: Recording | Noise,
        *,
        time: AirTime,
        host: str = "127.0.0.1",
        password: str = "",
        freq_offset_khz: float = 0.0,
        full_scale_dbm: float = -20.0,
        place: str = "(50.015500, 9.010800)",
        status_extra: Mapping[str, str] | None = None,
    ) -> None:
        self.host, self.port = host, 0
        self.air, self.time = air, time
        self.password, self.time_limit_password = password, ""
        self.freq_offset_khz = freq_offset_khz
        self.full_scale_dbm, self.place = full_scale_dbm, place
        self.refuse: str | None = None
        self.redirect_to = ""
        self.half_header = self.is_abrupt = False
        self.stamps, self.overflow, self.meter_floor = True, False, False
        self.stamp_shift_ns = 0
        self.stall_after: int | None = None
        self.age_s: int | None = None
        self.commands: list[str] = []
        self.visits = self.most_at_once = self.status_asked = self.frames_sent = 0
        self.first_number = 0
        self.stalled, self.ending = threading.Event(), threading.Event()
        self._status_extra = dict(status_extra or {})
        self._quirks = Quirks()
        self._guard = threading.Lock()
        self._connections: set[ServerConnection] = set()
        self._threads: list[threading.Thread] = []
        self._server: Server | None = None

    # ── life ──────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def restart(self) -> None:
        """Listen, on the same port as before."""
        self.ending = threading.Event()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family)
        self.port = listener.getsockname()[1]
        self._server = serve(
            self._serve,
            sock=listener,
            process_request=self._answer_http,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
            logger=QUIET,
        )
        self._start(self._server.serve_forever)

    def kill(self) -> None:
        """Stop listening, and hang up on everybody."""
        self.ending.set()
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        self.drop()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.stalled.clear()

    def drop(self) -> None:
        """Hang up on everybody; keep listening."""
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            connection.close_socket()

    def stall(self) -> None:
        self.stalled.set()

    def resume(self) -> None:
        self.stalled.clear()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="kiwi")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    # ── faults ────────────────────────────────────────────────────────────────────────────

    def say(self, words: str) -> None:
        self.send_raw(b"MSG " + words.encode())

    def send_raw(self, message: bytes) -> None:
        with self._guard:
            self._quirks.messages.append(message)

    def send_garbage(self) -> None:
        self.send_raw(b"SND\x08" + bytes(range(7)))

    def send_oversize(self) -> None:
        self.send_raw(b"SND\x08" + bytes(3 << 20))

    def lose_frames(self, count: int) -> None:
        with self._guard:
            self._quirks.lost_frames += count

    def lose_samples(self, count: int) -> None:
        with self._guard:
            self._quirks.lost_samples += count

    def outlier(self, by_ns: int) -> None:
        with self._guard:
            self._quirks.outlier_ns = by_ns

    def trickle(self) -> None:
        with self._guard:
            connections = list(self._connections)
        self.stall()
        for connection in connections:
            self._start(self._trickle, connection, self.ending)

    def _trickle(self, connection: ServerConnection, ending: threading.Event) -> None:
        frame = b"\x82\x7e\x08\x14SND" + bytes(2065)  # final, binary, 2068 bytes
        with contextlib.suppress(OSError):
            for byte in frame:
                connection.socket.sendall(bytes([byte]))
                if ending.wait(1.0):
                    return

    # ── HTTP ──────────────────────────────────────────────────────────────────────────────

    def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/status":
            self.status_asked += 1
            if self.refuse == "status_redirect":
                return self._elsewhere()
            if (page := self._status_page()) is None:
                return connection.respond(http.HTTPStatus.NOT_FOUND, "no such page")
            return connection.respond(http.HTTPStatus.OK, page)
        session, _, kind = request.path.strip("/").partition("/")
        if kind != "SND" or not session.isdecimal() or int(session) >= 1 << 64:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "not found")
        return self._elsewhere() if self.refuse == "http_redirect" else None

    def _elsewhere(self) -> Response:
        headers = Headers({"Location": self.redirect_to, "Content-Length": "0"})
        return Response(307, "Temporary Redirect", headers, b"")

    def _status_page(self) -> str | None:
        if self.refuse == "no_status":
            return None
        if self.refuse == "garbage_status":
            return "<html>a router's page</html>"
        is_offline, low_hz = self.refuse == "offline", 1e3 * self.freq_offset_khz
        values = {
            "status": "offline" if is_offline else "active",
            "offline": "yes" if is_offline else "no",
            "name": "Emulated receiver | Mainflingen",
            "sdr_hw": "KiwiSDR 1 v1.690 \u2063 GPS",
            "bands": f"{low_hz:.0f}-{low_hz + 30e6:.0f}",
            "freq_offset": f"{self.freq_offset_khz:.3f}",
            "users": "4" if self.refuse == "busy_status" else "1",
            "users_max": "4",
            "preempt": "0",
            "gps": self.place,
            "gps_good": "9",
            "fixes_min": "60",
            "tdoa_id": "EMU",
            "tdoa_ch": "4" if self.stamps else "-1",
            "asl": "115",
            "sw_version": "KiwiSDR_v1.690",
            "antenna": "Mini-Whip",
            "snr": "30,28",
            "adc_ov": "0",
            "uptime": "86400",
            **self._status_extra,
        }
        return "".join(f"{key}={value}\n" for key, value in values.items())

    # ── visits ────────────────────────────────────────────────────────────────────────────

    def _serve(self, connection: ServerConnection) -> None:
        with self._guard:
            self._connections.add(connection)
            self.visits += 1
            self.most_at_once = max(self.most_at_once, len(self._connections))
        try:
            Visit(self, connection).run()
        except VisitEndedError:
            if not self.is_abrupt:
                connection.close()
        except (ConnectionClosed, OSError):
            pass  # the client has left, or was dropped
        finally:
            connection.close_socket()
            with self._guard:
                self._connections.discard(connection)

    def take_quirks(self) -> Quirks:
        with self._guard:
            taken, self._quirks = self._quirks, Quirks()
        if self.half_header:
            taken.cut_bytes, self.half_header = 13, False
        return taken
