"""An ``rtl_tcp`` that owns no dongle: it speaks the bytes, and fails on demand."""

from __future__ import annotations

import os
import socket
import struct
import threading

from .tcp_peer import Pace, TcpPeer
from .tone import Tone, as_u8

N_GAINS = {1: 14, 2: 5, 3: 23, 4: 1, 5: 29, 6: 29}
DEFAULT_RATE_HZ, DEFAULT_CENTER_HZ = 2_048_000, 100_000_000
CHUNK_S = 0.02


class RtlTcpServer(TcpPeer):
    """One dongle, one client at a time; the next one waits in the backlog without a word.

    Beside the controls of :class:`~tests.emulators.tcp_peer.TcpPeer`:

    ``half_header = True``
        Sends 5 of the header's 12 bytes, and no more.
    ``no_header = True``
        Takes the connection and says nothing: as a server whose dongle another client has.
    ``closes_at_once = True``
        Closes each connection without a word.
    ``magic``
        The header's first four bytes, or ``b""`` for a server that begins with samples.
    ``after_header``
        Bytes that some fork sends between the header and the samples.
    ``tuner``, ``n_gains``
        What the header says.
    ``obeys = False``
        Reads commands and does not follow them.
    ``drop(n_samples)``
        Leaves so many samples out, in silence, as a full queue does.
    ``queue_s``
        So much waits for a client that reads too slowly; what does not fit is left out, in silence.
    ``chunk_bytes``
        Sends in pieces of this size, such as 4097: odd, so that pieces end between I and Q.
    ``paced = False``
        Sends as fast as the client takes it.
    ``ends_after_s``
        Stops sending (but lives on) after so much of the radio's time.
    ``ppm``
        The crystal's error: by how much the samples come too fast.

    ``commands`` is what clients sent: (operation, parameter) in order; ``sent_samples`` and
    ``dropped_samples`` count.
    """

    one_client = True

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        tone: Tone | None = None,
        tuner: int = 5,
        n_gains: int | None = None,
        paced: bool = True,
    ) -> None:
        super().__init__(host=host)
        self.tone = tone or Tone(446_100_000)
        self.tuner = tuner
        self.n_gains = N_GAINS.get(tuner, 1) if n_gains is None else n_gains
        self.paced = paced
        self.magic, self.after_header = b"RTL0", b""
        self.half_header = self.no_header = self.closes_at_once = False
        self.obeys = True
        self.chunk_bytes: int | None = None
        self.ends_after_s: float | None = None
        self.ppm = 0.0
        self.commands: list[tuple[int, int]] = []
        self.sent_samples = self.dropped_samples = 0
        self.queue_s = 1.0
        self.rate_hz, self.center_hz = float(DEFAULT_RATE_HZ), float(DEFAULT_CENTER_HZ)
        self._to_drop = 0

    def drop(self, n_samples: int) -> None:
        self._to_drop += n_samples

    # ── one client ────────────────────────────────────────────────────────────────────────

    def serve(self, connection: socket.socket) -> None:
        if self.closes_at_once:
            return
        left = threading.Event()
        listener = self.start_thread(self._obey, connection, left)
        try:
            self._speak(connection, left)
        finally:
            self.part_from(connection)
            listener.join()

    def _obey(self, connection: socket.socket, left: threading.Event) -> None:
        try:
            while True:
                operation, parameter = struct.unpack(">BI", self.receive(connection, 5))
                self.commands.append((operation, parameter))
                if not self.obeys:
                    continue
                if operation == 0x01:
                    self.center_hz = float(parameter)
                elif operation == 0x02:
                    self.rate_hz = float(parameter)
        finally:
            left.set()

    def _speak(self, connection: socket.socket, left: threading.Event) -> None:
        if self.no_header:
            while not left.wait(0.02):
                self.pause(0)
            return
        header = struct.pack(">II", self.tuner, self.n_gains)
        header = self.magic + header if self.magic else b""
        self.send(connection, header[:5] if self.half_header else header + self.after_header)
        if self.half_header:
            while not left.wait(0.02):
                self.pause(0)
            return
        self._stream(connection, left)

    def _stream(self, connection: socket.socket, left: threading.Event) -> None:
        pace, given_s = Pace(self), 0.0
        while not left.is_set():
            rate_hz, center_hz = self.rate_hz, self.center_hz
            n_samples = round(rate_hz * CHUNK_S)
            samples = self.tone.samples(n_samples, center_freq_hz=center_hz, sample_rate_hz=rate_hz)
            late_s = pace.wait(CHUNK_S / (1 + self.ppm * 1e-6)) if self.paced else 0.0
            given_s += CHUNK_S
            if late_s > self.queue_s:
                self.dropped_samples += n_samples
                continue
            if self.ends_after_s is not None and given_s > self.ends_after_s:
                self.pause(0.02)
                continue
            if self._to_drop:
                dropped = min(self._to_drop, n_samples)
                self._to_drop -= dropped
                self.dropped_samples += dropped
                samples = samples[dropped:]
            self._send_samples(connection, as_u8(samples))

    def _send_samples(self, connection: socket.socket, data: bytes) -> None:
        if self._garbage:
            data = os.urandom(len(data))
        step = self.chunk_bytes or len(data)
        for start in range(0, len(data), step or 1):
            self.send(connection, data[start : start + step])
        self.sent_samples += len(data) // 2
