"""A SpyServer without a radio: it speaks the bytes of its protocol, and fails on demand."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
from dataclasses import dataclass, field

import numpy as np

from .tcp_peer import Pace, TcpPeer
from .tone import Tone, as_f32, as_s16, as_s24, as_u8

VERSION = 0x020006A4
DEVICE_INFO, CLIENT_SYNC, PONG = 0, 1, 2
FORMATS = {1: 100, 2: 101, 3: 102, 4: 103}
MODE, ENABLED, GAIN, FORMAT, FREQUENCY, DECIMATION, DIGITAL_GAIN = 0, 1, 2, 100, 101, 102, 103


@dataclass
class Client:
    """What one client asked for."""

    connection: socket.socket
    name: str = ""
    version: int = 0
    settings: dict[int, int] = field(default_factory=dict)
    iq_center_hz: int = 0
    sequence: int = 0
    sending: threading.Lock = field(default_factory=threading.Lock)
    left: threading.Event = field(default_factory=threading.Event)


class SpyServer(TcpPeer):
    """One device, any number of clients.

    Beside the controls of :class:`~tests.emulators.tcp_peer.TcpPeer`:

    ``version``
        The protocol word of each message.
    ``closes_after_hello = True``, ``is_mute = True``
        Closes once greeted, or says nothing at all.
    ``device_type``, ``max_rate_hz``, ``min_stage``, ``stages``, ``max_gain_index``,
    ``min_freq_hz``, ``max_freq_hz``, ``forced_format``
        What DEVICE_INFO says; a type of 0 is a server without hardware.
    ``can_control``, ``device_center_hz``, ``half_range_hz``, ``gain_index``
        What CLIENT_SYNC says: IQ centres reach so far to either side of the device's centre.
    ``move(device_center_hz)``
        Another client moves the device; IQ centres that it no longer covers go along.
    ``set_gain(index)``
        Another client changes the gain.
    ``follows = False``
        IQ frequencies that clients ask for are taken and not followed.
    ``confirms = False``, ``answers_ping = False``
        Sends no CLIENT_SYNC after a setting, no PONG after a PING.
    ``drop_packets(n)``
        Leaves so many IQ packets out: their sequence numbers are missing.
    ``queue_s``
        So much waits for a client that reads too slowly; packets that do not fit are left out.
    ``repeat_sequence()``
        The sequence begins at 0 again.
    ``digital_gain_db``
        The high 16 bits of the type, whatever the client asked for; samples grow by as much.
    ``packet_samples``
        Samples of each IQ packet, in turn.
    ``lose_framing()``
        Sends three bytes too many once; ``announce(n)`` sends a header that promises n bytes.
    ``say(kind, body)``
        Sends a message of any type to all clients.
    ``end_session()``
        Closes all connections in good order, as an owner's time limit does.
    ``paced = False``
        Sends as fast as clients take it.
    ``ends_after_s``
        Stops sending samples (but lives on) after so much of the radio's time.
    ``body_of``
        Samples → body, in place of the format's own: for bodies that are none.

    ``seen`` holds all clients there were, with their settings; ``order`` all commands in order.
    """

    def __init__(self, *, host: str = "127.0.0.1", tone: Tone | None = None) -> None:
        super().__init__(host=host)
        self.tone = tone or Tone(446_100_000)
        self.version = VERSION
        self.device_type, self.serial = 1, 0x3A5F12B6
        self.max_rate_hz, self.min_stage, self.stages = 6_000_000, 1, 8
        self.max_gain_index = 21
        self.min_freq_hz, self.max_freq_hz = 24_000_000, 1_800_000_000
        self.forced_format = 0
        self.can_control = False
        self.device_center_hz, self.half_range_hz = 446_000_000, 2_400_000
        self.gain_index = 12
        self.closes_after_hello = self.is_mute = False
        self.follows = self.confirms = self.answers_ping = True
        self.digital_gain_db = 0
        self.packet_samples: tuple[int, ...] = (4096,)
        self.paced = True
        self.ends_after_s: float | None = None
        self.body_of = None
        self.queue_s = 1.0
        self.seen: list[Client] = []
        self.order: list[tuple[int, int, int]] = []
        self._to_drop = 0
        self._extra = b""

    # ── controls ──────────────────────────────────────────────────────────────────────────

    @property
    def present(self) -> list[Client]:
        return [client for client in self.seen if not client.left.is_set()]

    def move(self, device_center_hz: int) -> None:
        self.device_center_hz = device_center_hz
        for client in self.present:
            low, high = self._iq_range()
            if not low <= client.iq_center_hz <= high:
                client.iq_center_hz = device_center_hz
            self._sync(client)

    def set_gain(self, index: int) -> None:
        self.gain_index = index
        for client in self.present:
            self._sync(client)

    def drop_packets(self, n_packets: int) -> None:
        self._to_drop += n_packets

    def repeat_sequence(self) -> None:
        for client in self.present:
            client.sequence = 0

    def lose_framing(self) -> None:
        self._extra = b"\x11\x22\x33"

    def announce(self, n_bytes: int) -> None:
        self._extra = self._header(100, 1, 0, n_bytes)

    def say(self, kind: int, body: bytes) -> None:
        for client in self.present:
            self._tell(client, kind, body)

    def end_session(self) -> None:
        for client in self.present:
            self.part_from(client.connection)

    # ── one client ────────────────────────────────────────────────────────────────────────

    def serve(self, connection: socket.socket) -> None:
        client = Client(connection, iq_center_hz=self.device_center_hz)
        self.seen.append(client)
        try:
            while True:
                command, size = struct.unpack("<II", self.receive(connection, 8))
                body = self.receive(connection, size) if size else b""
                if self.is_mute:
                    continue
                self._obey(client, command, body)
        finally:
            client.left.set()

    def _obey(self, client: Client, command: int, body: bytes) -> None:
        if command == 0:
            client.version, client.name = struct.unpack_from("<I", body)[0], body[4:].decode()
            if self.closes_after_hello:
                raise ConnectionAbortedError("no more clients")
            self._tell(client, DEVICE_INFO, self._device_info())
            self._sync(client)
        elif command == 2:
            setting, value = struct.unpack("<II", body)
            self.order.append((command, setting, value))
            client.settings[setting] = value
            self._apply(client, setting, value)
        elif command == 3 and self.answers_ping:
            self._tell(client, PONG, body)

    def _apply(self, client: Client, setting: int, value: int) -> None:
        if setting == FREQUENCY:
            if self.follows and self.can_control:
                self.device_center_hz = value
            low, high = self._iq_range()
            if self.follows:
                client.iq_center_hz = min(max(value, low), high)
            if self.confirms:
                self._sync(client)
        elif setting == GAIN and self.can_control:
            self.gain_index = value
            if self.confirms:
                self._sync(client)
        elif setting == ENABLED and value:
            self.start_thread(self._stream, client)

    def _iq_range(self) -> tuple[int, int]:
        if self.can_control:
            return self.min_freq_hz, self.max_freq_hz
        center_hz = self.device_center_hz
        return center_hz - self.half_range_hz, center_hz + self.half_range_hz

    def _device_info(self) -> bytes:
        return struct.pack(
            "<12I",
            self.device_type,
            self.serial,
            self.max_rate_hz,
            int(0.8 * self.max_rate_hz),
            self.stages,
            0,
            self.max_gain_index,
            self.min_freq_hz,
            self.max_freq_hz,
            12,
            self.min_stage,
            self.forced_format,
        )

    def _sync(self, client: Client) -> None:
        low, high = self._iq_range()
        center_hz = self.device_center_hz
        numbers = (
            int(self.can_control),
            self.gain_index,
            center_hz,
            client.iq_center_hz,
            center_hz,
            low,
            high,
            center_hz,
            center_hz,
        )
        self._tell(client, CLIENT_SYNC, struct.pack("<9I", *numbers))

    def _header(self, kind: int, stream: int, sequence: int, size: int) -> bytes:
        return struct.pack("<5I", self.version, kind, stream, sequence & 0xFFFFFFFF, size)

    def _tell(self, client: Client, kind: int, body: bytes) -> None:
        with client.sending:
            self.send(client.connection, self._header(kind, 0, 0, len(body)) + body)

    # ── samples ───────────────────────────────────────────────────────────────────────────

    def _stream(self, client: Client) -> None:
        pace, given_s = Pace(self), 0.0
        stage = client.settings.get(DECIMATION, 0)
        rate_hz = self.max_rate_hz / 2**stage
        for n_samples in itertools.cycle(self.packet_samples):
            if client.left.is_set():
                return
            samples = self.tone.samples(
                n_samples, center_freq_hz=client.iq_center_hz, sample_rate_hz=rate_hz
            )
            late_s = pace.wait(n_samples / rate_hz) if self.paced else 0.0
            given_s += n_samples / rate_hz
            if self.ends_after_s is not None and given_s > self.ends_after_s:
                continue
            client.sequence += 1
            if self._to_drop or late_s > self.queue_s:
                self._to_drop = max(0, self._to_drop - 1)
                continue
            self._send_packet(client, samples * 10 ** (self.digital_gain_db / 20))

    def _send_packet(self, client: Client, samples: np.ndarray) -> None:
        number = self.forced_format or client.settings.get(FORMAT, 2)
        encode = {1: lambda s: as_u8(s, zero=128), 2: as_s16, 3: as_s24, 4: as_f32}[number]
        body = (self.body_of or encode)(samples)
        kind = FORMATS[number] | (self.digital_gain_db & 0xFFFF) << 16
        packet = self._header(kind, 1, client.sequence, len(body)) + body
        packet, self._extra = self._extra + packet, b""
        if self._garbage:
            packet = os.urandom(len(packet))
        with client.sending:
            self.send(client.connection, packet)
