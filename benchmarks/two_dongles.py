"""Two dongles of 2.4 Msps with 32 channels each, in one daemon: CPU, memory, and what was lost.

``python benchmarks/two_dongles.py --seconds 600``. The dongles are emulated at libusb's interface
(the emulator's own work is in the drivers' processes); librtlsdr, pyrtlsdr and the daemon are real.
Prints a line every ten seconds, and ends with status 1 where a sample was lost or dropped.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from heimdall_edge.bench.processes import UNIT_ENVIRONMENT
from tests.emulators.usb_dongles import Dongle, Tone, UsbDongles

RATE_HZ = 2.4e6
N_CHANNELS = 32
CENTERS_HZ = {"a": 446.1e6, "b": 433.9e6}
LINE_EVERY_S = 10.0
COUNTS = ("received", "lost", "dropped")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    dongles = [
        Dongle(serial, tones=(Tone(channels(center_hz)[0][1]),))
        for serial, center_hz in CENTERS_HZ.items()
    ]
    with UsbDongles(dongles) as usb, TemporaryDirectory() as folder:
        path = Path(folder) / "two.toml"
        path.write_text(configuration())
        command = [sys.executable, "-m", "heimdall_edge.cli", "run", "--stdout", "--config", path]
        environment = {**os.environ, **UNIT_ENVIRONMENT, **usb.environment}
        with (Path(folder) / "out").open("w") as out:
            daemon = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
            try:
                return watch(psutil.Process(daemon.pid), options.seconds)
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(30)


def channels(center_hz: float) -> list[tuple[str, float]]:
    """32 channels of 12.5 kHz, spread over the band."""
    offsets_hz = np.linspace(-0.4, 0.4, N_CHANNELS) * RATE_HZ
    return [(f"{round(center_hz + offset)}", center_hz + offset) for offset in offsets_hz.tolist()]


def configuration() -> str:
    lines = ['station = { name = "bench", latitude_deg = 45.0, longitude_deg = 7.0 }']
    lines += ["metrics.port = 9464"]
    for serial, center_hz in CENTERS_HZ.items():
        for name, frequency_hz in channels(center_hz):
            lines += ["[[channels]]", f'name = "{name}"', f"frequency_hz = {frequency_hz}"]
        names = ", ".join(f'"{name}"' for name, _ in channels(center_hz))
        lines += [
            "[[receivers]]",
            f'id = "{serial}"',
            'kind = "rtlsdr"',
            f"center_freq_hz = {center_hz}",
            f"sample_rate_hz = {RATE_HZ}",
            "gain_db = 28.0",
            f"channels = [{names}]",
            f'rtlsdr.serial = "{serial}"',
        ]
    return "\n".join(lines)


def watch(daemon: psutil.Process, seconds: float) -> int:
    """Print how it fares; 1 where anything was lost."""
    print(
        f"{'s':>6}{'daemon CPU':>12}{'drivers CPU':>13}{'daemon MB':>11}{'drivers MB':>12}", end=""
    )
    print("".join(f"{f'{serial} {count}':>16}" for serial in CENTERS_HZ for count in COUNTS))
    began_s = time.monotonic()
    before = cpu_s(daemon)
    counts: dict[tuple[str, str], float] = {}
    while time.monotonic() - began_s < seconds:
        time.sleep(LINE_EVERY_S)
        now = cpu_s(daemon)
        shares = [(new - old) / LINE_EVERY_S for new, old in zip(now, before, strict=True)]
        before = now
        memory_mb = [p.memory_info().rss / 2**20 for p in (daemon, *daemon.children())]
        counts = samples()
        print(
            f"{time.monotonic() - began_s:>6.0f}{shares[0]:>12.1%}{shares[1]:>13.1%}"
            f"{memory_mb[0]:>11.0f}{sum(memory_mb[1:]):>12.0f}"
            + "".join(f"{counts[s, c]:>16,.0f}" for s in CENTERS_HZ for c in COUNTS),
            flush=True,
        )
    missing = sum(n for (_, count), n in counts.items() if count != "received")
    received_s = min(counts[serial, "received"] for serial in CENTERS_HZ) / RATE_HZ
    print(f"{received_s:.0f} s of samples from each; {missing:,.0f} lost or dropped")
    return int(missing > 0)


def cpu_s(daemon: psutil.Process) -> tuple[float, float]:
    """CPU time so far of the daemon, and of its drivers' processes (the emulated dongles too)."""
    own = daemon.cpu_times()
    children = [child.cpu_times() for child in daemon.children()]
    return own.user + own.system, sum(times.user + times.system for times in children)


def samples() -> dict[tuple[str, str], float]:
    with urllib.request.urlopen("http://127.0.0.1:9464/metrics") as answer:
        lines = answer.read().decode().splitlines()
    prefix = 'heimdall_edge_samples_{}_total{{receiver="{}"}} '
    found = {}
    for serial in CENTERS_HZ:
        for count in COUNTS:
            start = prefix.format(count, serial)
            values = [line.removeprefix(start) for line in lines if line.startswith(start)]
            found[serial, count] = float(values[0]) if values else 0.0
    return found


if __name__ == "__main__":
    sys.exit(main())
