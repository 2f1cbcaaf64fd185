"""What publishing costs: the outbox on this disk, and the way to a mosquitto on loopback and back.

``python benchmarks/publish.py [--folder DIR]``: the folder is where the outbox lies, so that the
disk that matters is measured.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from heimdall_edge.ellipse import error_circle, error_ellipse
from heimdall_edge.publish.broker import Broker
from heimdall_edge.publish.delivery import Puback
from heimdall_edge.publish.encoding import to_json
from heimdall_edge.publish.message import Message
from heimdall_edge.publish.mqtt import MqttPublisher
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.topics import Topics
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.types import (
    Fix,
    ModelIdentity,
    Observation,
    Place,
    Position,
    ReceiverInfo,
    Scene,
)

N_RECEIVERS = 7
PACED_FIXES, PACE_S = 400, 0.01
BACKLOG_FIXES = 4_000


def one_fix(number: int) -> Fix:
    covariance = (90_000.0, 20_000.0, 40_000.0)
    receivers = (
        ReceiverInfo("monte", f"rx{i}", Place(45 + i / 10, 7 + i / 10)) for i in range(N_RECEIVERS)
    )
    observations = tuple(
        Observation("0" * 16, r, "r1", 145.6e6, number, 1.0, -95.0, level_dbfs=-60.0, snr_db=30.0)
        for r in receivers
    )
    ellipse, circle = error_ellipse(covariance, 0.95), error_circle(covariance, 0.95)
    return Fix(
        fix_id=f"{number:016x}",
        station="monte",
        scene=Scene("r1", 145.6e6, 1_790_000_000_000_000_000, 1.0, observations),
        position=Position(45.1, 7.6, covariance, ellipse, circle, confidence=0.9),
        reason=None,
        method="rss",
        model=ModelIdentity("physics", "1.0.0", "0" * 64),
    )


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


def rate(n: int, began_s: float) -> str:
    return f"{n / (time.perf_counter() - began_s):10,.0f} /s"


def measure_outbox(folder: Path) -> None:
    payload = to_json(fix_payload(one_fix(0), published_at_utc_ns=0))
    message = Message("fix", "heimdall/v1/monte/fix", payload)
    print(f"a fix of {N_RECEIVERS} receivers          {len(payload):10,d} bytes")
    outbox = Outbox(folder / "alone.sqlite")
    outbox.open(now_ns=0)
    began_s = time.perf_counter()
    for _ in range(1_000):
        outbox.insert(message, now_ns=0)
    print(f"outbox, one at a time         {rate(1_000, began_s)}")
    began_s = time.perf_counter()
    for _ in range(200):
        outbox.insert_many([message] * 50, now_ns=0)
    print(f"outbox, 50 at a time          {rate(10_000, began_s)}")
    began_s = time.perf_counter()
    while rows := outbox.oldest(20):
        outbox.delete([row.id for row in rows])
    print(f"outbox, read and deleted      {rate(11_000, began_s)}")
    outbox.close()


def measure_publisher(folder: Path, port: int) -> None:
    pubacks: list[Puback] = []
    enough = threading.Event()
    wanted = [PACED_FIXES]

    def count(puback: Puback) -> None:
        if puback.kind == "fix":
            pubacks.append(puback)
            if len(pubacks) >= wanted[0]:
                enough.set()

    publisher = MqttPublisher(
        broker=Broker(host="127.0.0.1", port=port, client_id="heimdall-bench"),
        topics=Topics(station="monte"),
        outbox=Outbox(folder / "outbox.sqlite"),
        on_puback=count,
        backoff_s=(0.05, 0.1),
    )
    publisher.start()
    while not publisher.state.is_connected:
        time.sleep(0.01)
    calls_us = []
    for number in range(PACED_FIXES):
        fix = one_fix(number)
        began_s = time.perf_counter()
        publisher.publish_fix(fix)
        calls_us.append(1e6 * (time.perf_counter() - began_s))
        time.sleep(PACE_S)
    enough.wait(30)
    total_ms = [1e3 * p.since_call_s for p in pubacks if p.since_call_s is not None]
    network_ms = [1e3 * p.latency_s for p in pubacks]
    for name, values, unit in (
        ("publish_fix(), for its caller", calls_us, "µs"),
        ("publish_fix() to PUBACK", total_ms, "ms"),
        ("  of it from client to PUBACK", network_ms, "ms"),
    ):
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        print(f"{name:30s}p50 {p50:6.2f}   p95 {p95:6.2f}   p99 {p99:6.2f} {unit}")

    enough.clear()
    wanted[0] += BACKLOG_FIXES
    fix = one_fix(0)
    began_s = time.perf_counter()
    for _ in range(BACKLOG_FIXES):
        publisher.publish_fix(fix)
    enough.wait(60)
    print(f"flat out, stored and PUBACKed {rate(BACKLOG_FIXES, began_s)}")
    publisher.stop(5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the outbox lies")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as name:
        folder = Path(name)
        measure_outbox(folder)
        with mosquitto(folder) as port:
            measure_publisher(folder, port)


if __name__ == "__main__":
    main()
