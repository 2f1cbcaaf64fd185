"""What a KiwiSDR says to a guest, and what happens to its frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.emulators.kiwi_air import AirTime, Noise
from tests.emulators.kiwi_server import KiwiServer

from .fault import Fault, Kind
from .station import Station

NS = 1_000_000_000
WEEK_NS = 604_800 * NS
GPS_EPOCH_NS = 315_964_800 * NS
GPS_MINUS_UTC_NS = 18 * NS


@contextmanager
def kiwi(begun_utc_ns: int | None = None) -> Iterator[KiwiServer]:
    begun_utc_ns = time.time_ns() if begun_utc_ns is None else begun_utc_ns
    air = Noise(begun_utc_ns=begun_utc_ns)
    with KiwiServer(air, time=AirTime(begun_utc_ns=begun_utc_ns)) as server:
        yield server


@contextmanager
def kiwi_that_sends_elsewhere(by: str) -> Iterator[KiwiServer]:
    with kiwi() as elsewhere, kiwi() as server:
        server.redirect_to = f"http://{elsewhere.host}:{elsewhere.port}"
        server.refuse = by
        yield server


def station(server: KiwiServer) -> Station:
    return Station(
        f"""
kind = "kiwisdr"
center_freq_hz = 77.5e3
kiwisdr = {{ host = "{server.host}", port = {server.port} }}
""",
        frequency_hz=77.5e3,
        bandwidth_hz=3_000.0,
        host=server.time,
    )


def say(word: str | None) -> Callable[[KiwiServer], None]:
    """What guests meet from now on, instead of samples."""
    return lambda server: setattr(server, "refuse", word)


KIND = Kind("kiwisdr", peer=kiwi, station=station)


def refusal(word: str, says: str) -> Fault:
    name = f"refuses: {word}"
    return KIND.fault(name, say(word), say(None), says=f"reconnecting: .*{says}", from_start=True)


def end_of_week_utc_ns(*, before_s: float) -> int:
    """An instant shortly before the GPS week that is running now ends."""
    gps_ns = time.time_ns() + GPS_MINUS_UTC_NS - GPS_EPOCH_NS
    end_ns = (gps_ns // WEEK_NS + 1) * WEEK_NS
    return GPS_EPOCH_NS + end_ns - GPS_MINUS_UTC_NS - round(before_s * NS)


FAULTS = (
    KIND.fault("killed, and restarted", KiwiServer.kill, KiwiServer.restart, says="reconnecting: "),
    KIND.fault("stalls", KiwiServer.stall, KiwiServer.resume, says="reconnecting: ", within_s=30.0),
    KIND.fault(
        "sends one byte a second", KiwiServer.trickle, KiwiServer.resume, says="reconnecting: "
    ),
    refusal("too_busy", "(channel|user|busy)"),
    refusal("busy_status", "(channel|user|busy)"),
    refusal("offline", "offline"),
    refusal("badp 1", "password"),
    refusal("badp 5", "connection from our address"),
    refusal("password_timeout", "password"),
    refusal("inactivity_timeout", "minutes without"),
    refusal("ip_limit", "come back tomorrow"),
    refusal("down 1", "updating"),
    refusal("wb_only", "wide-band"),
    refusal("exclusive_use", "for himself"),
    refusal("close", "closed"),
    *(
        KIND.fault(
            f"sends its guests elsewhere: {by}",
            lambda _server: None,
            peer=partial(kiwi_that_sends_elsewhere, by),
            says=None,
        )
        for by in ("redirect", "http_redirect", "status_redirect")
    ),
    refusal("garbage_status", "status"),
    KIND.fault("a truncated frame", KiwiServer.send_garbage, says="reconnecting: "),
    KIND.fault("an oversize frame", KiwiServer.send_oversize, says="reconnecting: "),
    KIND.fault("loses 20 frames", lambda server: server.lose_frames(20), says=None, loses=True),
    KIND.fault(
        "loses 5,120 samples that only its stamps show",
        lambda server: server.lose_samples(5_120),
        says=None,
        loses=True,
    ),
    KIND.fault(
        "one stamp is off by 3 ms",
        lambda server: server.outlier(3_000_000),
        says=None,
    ),
    KIND.fault(
        "the GPS week ends while it runs",
        lambda _server: time.sleep(4.0),
        peer=lambda: kiwi(end_of_week_utc_ns(before_s=4.0)),
        says=None,
    ),
    KIND.fault(
        "gives no stamps any more",
        lambda server: setattr(server, "stamps", False),
        lambda server: setattr(server, "stamps", True),
        says=None,
    ),
)
