"""A WebSDR.org site with two bands, as third parties' clients describe it."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from tests.emulators.openwebrx_server import Carrier
from tests.emulators.web_receiver import WebReceiver

SCRIPT = """
var nbands={n};
var ini_freq={ini};
var bandinfo= [
{bands}
];
var dobandcombos=1;
var idletimeout={idle_ms};
"""
BAND = """  {{ centerfreq: {center},
    samplerate: {rate},
    tuningstep: 0.03125,
    maxlinbw: 4,
    vfo: {center},
    maxzoom: 4,
    name: '{name}',
    scaleimgs: [ ["tmp/00.png"], ["tmp/10.png", "tmp/11.png"] ]
  }}"""


class WebSdrServer(WebReceiver):
    """A WebSDR page on loopback.

    Beyond :class:`WebReceiver`: ``refuses`` (sample rate 0: too many listeners), ``idle_ms``,
    ``bands`` (name, centre and rate in kHz), ``script`` (instead of the bands), ``has_meter =
    False`` (sound only).
    """

    def __init__(self, *, host: str = "127.0.0.1", noise_dbm_hz: float = -147.0) -> None:
        super().__init__(host)
        self.bands = [("40m", 7100.0, 192.0), ("2m", 145000.0, 2048.0)]
        self.idle_ms = 14_400_000
        self.script: str | None = None
        self.refuses = False
        self.has_meter = True
        self.messages_per_s = 20.0
        self.noise_density = 10 ** (noise_dbm_hz / 10)
        self.tunings: list[str] = []
        """Every text that a client sent."""
        self.origins: list[str | None] = []
        self._carriers: list[Carrier] = []
        self._rng = np.random.default_rng(1)
        self._tuned: dict[str, list[str]] = {}

    def key(self, frequency_hz: float, level_dbm: float) -> Carrier:
        carrier = Carrier(frequency_hz)
        carrier.set_power(time.monotonic(), 10 ** (level_dbm / 10))
        self._carriers.append(carrier)
        return carrier

    def release(self, carrier: Carrier) -> None:
        carrier.set_power(time.monotonic(), 0.0)

    @property
    def is_heard(self) -> bool:
        return bool(self.tunings)

    def page(self, path: str) -> bytes | None:
        if path != "/tmp/bandinfo.js":
            return None
        if self.script is not None:
            return self.script.encode()
        bands = [BAND.format(name=n, center=c, rate=r) for n, c, r in self.bands]
        script = SCRIPT.format(
            n=len(bands), ini=json.dumps(7100), bands=",\n".join(bands), idle_ms=self.idle_ms
        )
        return script.encode()

    def is_stream(self, path: str) -> bool:
        return path == "/~~stream?v=11"

    def converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.origins.append(connection.request.headers.get("Origin"))
        listener = threading.Thread(target=self._listen, args=(connection,))
        listener.start()
        try:
            self.send(connection, b"\x81" + (0 if self.refuses else 8000).to_bytes(2, "big"))
            before_s = time.monotonic()
            while True:
                self.wait(1 / self.messages_per_s)
                now_s = time.monotonic()
                self.send(connection, self._message(before_s, now_s))
                before_s = now_s
        finally:
            connection.close_socket()
            listener.join(5)

    def _listen(self, connection: ServerConnection) -> None:
        try:
            for text in connection:
                self.tunings.append(str(text))
                self._tuned.update(parse_qs(urlsplit(str(text).removeprefix("GET ")).query))
        except ConnectionClosed:
            pass

    def _message(self, start_s: float, end_s: float) -> bytes:
        meter = b""
        if self.has_meter:
            value = round((self._meter_dbm(start_s, end_s) + 127.0) / 0.1)
            value = max(0, min(4095, value))
            meter = bytes([0xF0 | value >> 8, value & 0xFF])
        flags, step = b"\x83\x02", b"\x82\x00\x10"
        coded = bytes([0x90 + os.urandom(1)[0] % 0x50]) + os.urandom(60)
        return meter + flags + step + coded

    def _meter_dbm(self, start_s: float, end_s: float) -> float:
        if not self._tuned:
            return -127.0
        f_hz, low_hz, high_hz = (1e3 * float(self._tuned[key][0]) for key in ("f", "lo", "hi"))
        power = self.noise_density * (high_hz - low_hz) * self._rng.gamma(150, 1 / 150)
        for carrier in list(self._carriers):
            if f_hz + low_hz <= carrier.frequency_hz <= f_hz + high_hz:
                power += carrier.mean_power(start_s, end_s)
        return 10 * math.log10(power)
