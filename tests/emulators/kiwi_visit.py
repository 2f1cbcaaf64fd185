"""One visit to an emulated KiwiSDR: from the password to the last frame."""

from __future__ import annotations

import json
import math
import re
import struct
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from websockets.sync.server import ServerConnection

from tests.emulators.kiwi_air import FRAME_SAMPLES, NS, WEEK_NS, AirFrame, Meter, Recording

if TYPE_CHECKING:
    from tests.emulators.kiwi_server import KiwiServer, Quirks

FLAG_ADC_OVERFLOW, FLAG_NEW_FREQUENCY, FLAG_IQ = 0x02, 0x04, 0x08
OLD_STAMP_NS = 124_366_595_389_714
"""Of a real first frame: minutes away."""
NEEDED = frozenset({"frequency", "mode", "passband", "agc", "rate"})
"""Without all five, no samples."""
PATIENCE_S = 20.0
_AUTH = re.compile(r"SET auth t=kiwi p=\s*(\S+)?(?:\s+ipl=(\S+))?")


class VisitEndedError(Exception):
    """The server closes."""


class Visit:
    """Speaks to one client."""

    def __init__(self, server: KiwiServer, connection: ServerConnection) -> None:
        self._server, self._connection = server, connection
        self._settings: set[str] = set()
        self._authorised = False
        self._skipped_samples = 0

    def run(self) -> None:
        self._refuse(
            {
                "too_busy": "too_busy=4",
                "down": "reason_disabled=back%20at%20noon down={n}",
                "wb_only": "wb_only",
                "exclusive_use": "exclusive_use",
                "redirect": f"redirect={quote(self._server.redirect_to, safe='')}",
                "ip_limit": "ip_limit=60%2C192.0.2.7",
                "close": "",
            }
        )
        self._set_up()
        self._stream()

    def _say(self, words: str) -> None:
        self._connection.send(b"MSG " + words.encode())

    def _refuse(self, told: dict[str, str]) -> None:
        """Say what the server is to say at this point, if anything, and close."""
        name, _, number = (self._server.refuse or "").partition(" ")
        if name in told:
            if told[name]:
                self._say(told[name].format(n=number))
            raise VisitEndedError

    def _hear(self, timeout_s: float) -> bool:
        """Take a command, if one comes."""
        try:
            words = self._connection.recv(timeout=timeout_s)
        except TimeoutError:
            return False
        assert isinstance(words, str), "a client sends text"
        self._server.commands.append(words)
        self._obey(words)
        return True

    def _obey(self, words: str) -> None:
        verb, *rest = words.split()
        values = dict(word.split("=", 1) for word in rest if "=" in word)
        if verb != "SET":
            raise VisitEndedError
        if rest[0] == "auth":
            self._check_passwords(words)
        elif not self._authorised:
            return  # nothing but auth is listened to
        elif values.get("mod") == "iq" and abs(float(values["low_cut"])) <= 5900:
            self._settings |= {"mode", "frequency", "passband"}
        elif "agc" in values:
            self._settings.add("agc")
        elif words.startswith("SET AR OK in=12000 "):
            self._settings.add("rate")

    def _check_passwords(self, words: str) -> None:
        """As the server does: a space after "p=" is passed over, and the next word is taken."""
        server, match = self._server, _AUTH.match(words)
        password, time_limit_password = match.groups(default="") if match else ("", "")
        password = "" if password == "#" else unquote(password)
        if password != server.password and (server.password or password.startswith("ipl=")):
            self._say("badp=1")
            raise VisitEndedError
        if (
            server.time_limit_password
            and unquote(time_limit_password) != server.time_limit_password
        ):
            self._say("ip_limit=60%2C192.0.2.7")
            raise VisitEndedError
        self._authorised = True

    def _set_up(self) -> None:
        server = self._server
        while not self._authorised:
            if not self._hear(PATIENCE_S):
                self._say("password_timeout")
                raise VisitEndedError
        self._refuse(
            {
                "badp": "badp={n}",
                "password_timeout": "password_timeout",
                "inactivity_timeout": "inactivity_timeout=30",
                "camp_disconnect": "camp_disconnect",
            }
        )
        if server.refuse == "silent":
            server.ending.wait()
            raise VisitEndedError
        configuration = {
            "rx_name": "Emulated receiver",
            "rx_gps": server.place,
            "rx_asl": 115,
            "rx_antenna": "Mini-Whip",
            "owner_info": "words " * 800,
        }
        for words in (
            "rx_chans=4",
            "chan_no_pwd=0",
            "is_local=0,0,0",
            "max_camp=4",
            "badp=0",
            f"version_maj=1 version_min=690 freq_offset={server.freq_offset_khz:.3f}",
            f"load_cfg={quote(json.dumps(configuration))}",
            "center_freq=15000000 bandwidth=30000000 adc_clk_nom=66666600",
            "audio_init=0 audio_rate=12000",
            f"sample_rate={server.air.rate_hz - 0.005:.6f}",
        ):
            self._say(words)
        while not self._settings >= NEEDED:
            if not self._hear(PATIENCE_S):
                raise VisitEndedError
        if server.refuse == "mute":
            server.ending.wait()
            raise VisitEndedError

    # ── frames ────────────────────────────────────────────────────────────────────────────

    def _stream(self) -> None:
        server, air = self._server, self._server.air
        frame_s = FRAME_SAMPLES / air.rate_hz / server.time.speed
        # The air goes on whether or not somebody listens: the next frame is due when it is over.
        aired_s = (server.time.utc_ns() - air.begun_utc_ns) / NS / server.time.speed
        number = server.first_number = max(0, math.ceil(aired_s / frame_s))
        due_s, sequence = time.monotonic() + (number + 1) * frame_s - aired_s, 0
        meter = Meter(rate_hz=air.rate_hz, full_scale_dbm=server.full_scale_dbm)
        while not server.ending.is_set():
            if (left_s := due_s - time.monotonic()) > 0:
                self._hear(min(left_s, 0.1))
                continue
            if server.stalled.is_set():
                self._hear(0.02)
                number, sequence, due_s = number + 1, sequence + 1, due_s + frame_s
                continue
            quirks = server.take_quirks()
            for message in quirks.messages:
                self._connection.send(message)
            number, sequence = number + quirks.lost_frames, sequence + quirks.lost_frames + 1
            due_s += frame_s * (1 + quirks.lost_frames)
            self._skipped_samples += quirks.lost_samples
            frame = air.frame(number)
            if frame is None:  # the recording is over; the connection is not
                continue
            message = self._message(frame, sequence, quirks, meter)
            self._connection.send(message[: quirks.cut_bytes or None])
            server.frames_sent += 1
            if server.frames_sent == server.stall_after:
                server.stall()
            number += 1

    def _message(self, frame: AirFrame, sequence: int, quirks: Quirks, meter: Meter) -> bytes:
        server = self._server
        reading = 1304 if server.overflow else meter.read(frame.samples)
        flags = FLAG_IQ | (FLAG_ADC_OVERFLOW if server.overflow else 0)
        flags |= FLAG_NEW_FREQUENCY if sequence == 1 else 0
        age_s = frame.age_s if server.age_s is None else server.age_s
        stamp_ns = self._stamp_ns(frame, sequence, quirks)
        if not server.stamps or (sequence == 1 and not server.air.has_stale_stamps):
            stamp_ns = age_s = 0
        header = b"SND" + struct.pack("<BI", flags, sequence)
        header += struct.pack(">H", 0 if server.meter_floor else reading)
        header += struct.pack("<BBII", age_s, 0, stamp_ns // NS, stamp_ns % NS)
        return header + frame.samples.astype(">i2").tobytes()

    def _stamp_ns(self, frame: AirFrame, sequence: int, quirks: Quirks) -> int:
        server = self._server
        if isinstance(server.air, Recording):
            stamp_ns = frame.stamp_ns
        elif sequence == 2:
            return OLD_STAMP_NS
        else:
            stamp_ns = frame.stamp_ns + round(self._skipped_samples * NS / server.air.rate_hz)
        return (stamp_ns + server.stamp_shift_ns + quirks.outlier_ns) % WEEK_NS
