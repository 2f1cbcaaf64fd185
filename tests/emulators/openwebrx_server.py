"""An OpenWebRX server with one device, as the protocol notes describe it.

Its rows are what csdr would make of the emulated air: |FFT of (samples · Hamming window)|² of
``fft_size`` bins, minus 70 dB, averaged from one row to the next. Levels are those of the S-meter:
mean power in the channel filter, full scale 1.
"""

from __future__ import annotations

import json
import math
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from tests.emulators.adpcm_encoder import encode
from tests.emulators.web_receiver import WebReceiver

WINDOW_MEAN_SQUARE = 0.3974
HAMMING_LOBE = {-1: 0.1331, 0: 0.7338, 1: 0.1331}
"""How a carrier in the middle of a bin spreads over its neighbours."""
METER_PERIOD_S = 0.25


@dataclass
class Carrier:
    """Something on the air; ``history`` is when it was keyed and released."""

    frequency_hz: float
    width_hz: float = 0.0
    history: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])

    def set_power(self, at_s: float, power: float) -> None:
        self.history.append((at_s, power))

    def mean_power(self, start_s: float, end_s: float) -> float:
        energy = 0.0
        for (from_s, power), (until_s, _) in zip(
            self.history, [*self.history[1:], (math.inf, 0.0)], strict=True
        ):
            energy += power * max(0.0, min(until_s, end_s) - max(from_s, start_s))
        return energy / (end_s - start_s)


@dataclass(frozen=True)
class EmulatedProfile:
    name: str
    center_freq_hz: float
    sample_rate_hz: float


class OpenWebRxServer(WebReceiver):
    """An OpenWebRX page on loopback.

    Beyond :class:`WebReceiver`: ``refuse`` (``"Too many clients"`` …: sent as backoff, then
    closed), ``select_profile(name)`` (another listener moves the device), ``set_fft(size,
    compression)``, ``say(type, value)`` (any text to all, such as ``sdr_error``), ``ping()``,
    ``meter_works = False`` (no S-meter), ``greeting`` (what it greets with), ``speaks = False``
    (nothing after the greeting), ``has_rows = False`` (everything but rows), ``session_timeout_s``
    (how long the owner lets listeners stay).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        profiles: tuple[EmulatedProfile, ...] = (EmulatedProfile("2m", 145.0e6, 250e3),),
        fft_size: int = 512,
        compression: str = "none",
        rows_per_s: float = 20.0,
        noise_dbfs_hz: float = -131.0,
        place: tuple[float, float, float] | None = (45.0, 7.0, 300.0),
        path: str = "/ws/",
    ) -> None:
        super().__init__(host)
        self.profiles, self.profile = profiles, profiles[0]
        self.fft_size, self.compression = fft_size, compression
        self.period_s = 1 / rows_per_s
        self.noise_density = 10 ** (noise_dbfs_hz / 10)
        self.place, self.max_clients = place, 20
        self.session_timeout_s = 0
        self.refuse: str | None = None
        self.greeting = "CLIENT DE SERVER server=openwebrx version=v1.2.3"
        self.speaks = self.has_rows = self.meter_works = True
        self.pages = {"status.json"}
        self.received: list[str] = []
        """Every text that a client sent."""
        self._path = path
        self._carriers: list[Carrier] = []
        self._rng = np.random.default_rng(1)
        self._announce = threading.Lock()
        self._dsps: dict[ServerConnection, dict[str, Any]] = {}

    @property
    def is_heard(self) -> bool:
        """Whether rows go out to anybody."""
        return bool(self._dsps)

    # ── the air ───────────────────────────────────────────────────────────────────────────

    def key(self, frequency_hz: float, level_dbfs: float, *, width_hz: float = 0.0) -> Carrier:
        """Begin a transmission of this level."""
        carrier = Carrier(frequency_hz, width_hz)
        carrier.set_power(time.monotonic(), 10 ** (level_dbfs / 10))
        self._carriers.append(carrier)
        return carrier

    def release(self, carrier: Carrier) -> None:
        carrier.set_power(time.monotonic(), 0.0)

    def row(self, start_s: float, end_s: float) -> np.ndarray:
        """Mean power of each bin over a time, as csdr scales it."""
        size, rate_hz = self.fft_size, self.profile.sample_rate_hz
        bin_hz = rate_hz / size
        n_averages = max(1, round(rate_hz / size * (end_s - start_s) / 0.7))
        power = np.full(size, self.noise_density * bin_hz)
        for carrier in list(self._carriers):
            middle = (carrier.frequency_hz - self.profile.center_freq_hz) / bin_hz + size / 2
            mean = carrier.mean_power(start_s, end_s)
            if carrier.width_hz > bin_hz:
                half = carrier.width_hz / bin_hz / 2
                low, high = math.ceil(middle - half), math.floor(middle + half)
                bins = dict.fromkeys(range(low, high + 1), 1 / (high - low + 1))
            else:
                bins = {round(middle) + k: share for k, share in HAMMING_LOBE.items()}
            for k, share in bins.items():
                if 0 <= k < size:
                    power[k] += mean * share
        power *= self._rng.gamma(n_averages, 1 / n_averages, size)
        return power * size**2 * WINDOW_MEAN_SQUARE * 1e-7

    def meter(self, dsp: dict[str, Any], now_s: float) -> float:
        """Power in the channel filter over the last 62 ms."""
        low_hz = self.profile.center_freq_hz + dsp["offset_freq"] + dsp["low_cut"]
        width_hz = dsp["high_cut"] - dsp["low_cut"]
        power = self.noise_density * width_hz * self._rng.gamma(150, 1 / 150)
        for carrier in list(self._carriers):
            if low_hz <= carrier.frequency_hz <= low_hz + width_hz:
                power += carrier.mean_power(now_s - 0.0625, now_s)
        return power

    # ── what others do ────────────────────────────────────────────────────────────────────

    def select_profile(self, name: str) -> None:
        """Another listener chooses a profile: the device is retuned for all."""
        self.profile = next(p for p in self.profiles if p.name == name)
        for dsp in self._dsps.values():
            dsp.pop("is_on", None)
        self.say("config", self._sdr_config())

    def set_fft(self, size: int, compression: str) -> None:
        self.fft_size, self.compression = size, compression
        self.say("config", {"fft_size": size, "fft_compression": compression})

    def say(self, kind: str, value: object) -> None:
        for connection in list(self._dsps):
            self.send(connection, json.dumps({"type": kind, "value": value}))

    def ping(self) -> list[threading.Event]:
        """Ping all; the events tell the pongs."""
        return [connection.ping() for connection in list(self._dsps)]

    # ── HTTP and websocket ────────────────────────────────────────────────────────────────

    def page(self, path: str) -> bytes | None:
        if path.rsplit("/", 1)[-1] not in self.pages:
            return None
        profiles = [
            {"name": p.name, "center_freq": p.center_freq_hz, "sample_rate": p.sample_rate_hz}
            for p in self.profiles
        ]
        about = {"name": "Emulated", "location": "loopback", **self._where()}
        sdrs = [{"name": "rtl", "type": "RtlSdrSource", "profiles": profiles}]
        status = {"receiver": about, "max_clients": self.max_clients, "version": "v1.2.3"}
        return json.dumps({**status, "sdrs": sdrs}).encode()

    def is_stream(self, path: str) -> bool:
        return path == self._path

    def converse(self, connection: ServerConnection) -> None:
        first = str(connection.recv(timeout=10))
        self.received.append(first)
        assert first.startswith("SERVER DE CLIENT client="), first
        self.send(connection, self.greeting)
        if self.refuse is not None:
            connection.send(json.dumps({"type": "backoff", "reason": self.refuse}))
            connection.close()
            return
        if not self.speaks:
            while True:
                self.wait(0.05)
        details = {"receiver_name": "Emulated", "session_timeout": self.session_timeout_s}
        details.update(self._where("receiver_"))
        self._tell(connection, "receiver_details", details)
        fft = {"fft_size": self.fft_size, "fft_compression": self.compression}
        self._tell(connection, "config", {**fft, "max_clients": self.max_clients})
        self._tell(connection, "config", self._sdr_config())
        self._tell(connection, "profiles", [{"id": p.name, "name": p.name} for p in self.profiles])
        self._dsps[connection] = {}
        listener = threading.Thread(target=self._listen, args=(connection,))
        listener.start()
        try:
            self._stream(connection)
        finally:
            del self._dsps[connection]
            connection.close_socket()
            listener.join(5)

    def _where(self, prefix: str = "") -> dict[str, Any]:
        if self.place is None:
            return {}
        latitude_deg, longitude_deg, altitude_m = self.place
        gps = {"lat": latitude_deg, "lon": longitude_deg}
        return {f"{prefix}gps": gps, f"{prefix}asl": altitude_m}

    def _sdr_config(self) -> dict[str, Any]:
        return {
            "center_freq": self.profile.center_freq_hz,
            "samp_rate": self.profile.sample_rate_hz,
            "start_mod": "nfm",
            "sdr_id": "rtl",
            "profile_id": self.profile.name,
        }

    def _tell(self, connection: ServerConnection, kind: str, value: object) -> None:
        self.send(connection, json.dumps({"type": kind, "value": value}))

    def _listen(self, connection: ServerConnection) -> None:
        try:
            for text in connection:
                self.received.append(str(text))
                said = json.loads(text)
                dsp = self._dsps.get(connection)
                if dsp is not None and said["type"] == "dspcontrol":
                    dsp.update(said.get("params", {}))
                    if said.get("action") == "start":
                        dsp["is_on"] = True
        except ConnectionClosed:
            pass

    def _stream(self, connection: ServerConnection) -> None:
        row_s = meter_s = time.monotonic()
        while True:
            self.wait(max(0.0, row_s + self.period_s - time.monotonic()))
            now_s = time.monotonic()
            if self.has_rows:
                self.send(connection, b"\x01" + self._packed(self.row(row_s, now_s)))
            row_s = now_s
            dsp = self._dsps[connection]
            if now_s - meter_s >= METER_PERIOD_S and dsp.get("is_on"):
                meter_s = now_s
                if self.meter_works:
                    self._tell(connection, "smeter", self.meter(dsp, now_s))
                self.send(connection, b"\x02" + bytes(200))

    def _packed(self, power: np.ndarray) -> bytes:
        level_db = 10 * np.log10(power)
        if self.compression == "none":
            return struct.pack(f"<{len(level_db)}f", *level_db)
        hundredths = np.clip(level_db * 100, -32768, 32767).astype(int).tolist()
        return encode([hundredths[0]] * 10 + hundredths)
