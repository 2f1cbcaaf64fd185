"""What whole processes take: fixes per second of a replay, and the daemon's start and memory.

::

    lines ─▶ heimdall-edge replay ─▶ file                          wall time
    configuration ─▶ heimdall-edge run ─▶ READY, /proc/PID ─▶ SIGTERM

Each process runs in the environment that the systemd unit gives it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from heimdall_edge.bench.broker import LocalBroker
from heimdall_edge.bench.iq import CENTER_FREQ_HZ, N_SAMPLES, SAMPLE_RATE_HZ, Band
from heimdall_edge.bench.scenes import N_RECEIVERS, at, heard_by, ring
from heimdall_edge.bench.table import Table
from heimdall_edge.errors import HeimdallError
from heimdall_edge.publish.wire_observation import observation_payload
from heimdall_edge.types import NS_PER_S

UNIT_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""As ``systemd/heimdall-edge.service`` has it."""
COMMAND = (sys.executable, "-m", "heimdall_edge.cli")
PATIENCE_S = 60.0

REPLAY_SCENES = 500
SCENE_EACH_S = 10
FIRST_UTC_NS = 1_790_000_000 * NS_PER_S

DAEMON_S = 10.0
"""A daemon is watched for so long after READY."""
SETTLED_AFTER_S = 2.0
"""Its CPU time counts from then on."""
TARGET_RESIDENT_MB = 200
N_CHANNELS = 8


# ── replay ────────────────────────────────────────────────────────────────────────────────


def replay_table(folder: Path, *, n_scenes: int = REPLAY_SCENES) -> Table:
    """Fixes per second from lines to file, with the process's start taken off."""
    start_s, start_cpu_s = replay_s(folder, n_scenes=1)
    whole_s, whole_cpu_s = replay_s(folder, n_scenes=1 + n_scenes)
    taken_s, taken_cpu_s = whole_s - start_s, whole_cpu_s - start_cpu_s
    return Table(
        title="Fixes per second: observation lines through `heimdall-edge replay`, at full speed",
        columns=("fixes", "lines", "seconds", "fixes per s", "fixes per CPU s", "start and end, s"),
        rows=[
            (
                f"{n_scenes:,}",
                f"{n_scenes * N_RECEIVERS:,}",
                f"{taken_s:.2f}",
                f"{n_scenes / taken_s:,.0f}",
                f"{n_scenes / taken_cpu_s:,.0f}",
                f"{start_s:.2f}",
            )
        ],
        notes=(f"parse, associate, locate, write; {N_RECEIVERS} receivers a fix, levels only",),
    )


def replay_s(folder: Path, *, n_scenes: int) -> tuple[float, float]:
    """Wall time and CPU time of a replay, from the process's start to its end.

    Raises
    ------
    HeimdallError
        It failed, or there is not one fix a scene.
    """
    lines, fixes = folder / f"{n_scenes}-scenes.jsonl", folder / f"{n_scenes}-fixes.jsonl"
    _write_lines(lines, n_scenes)
    began_s, began_cpu_s = time.perf_counter(), _cpu_s_of_children()
    done = subprocess.run(
        [*COMMAND, "replay", "--observations", str(lines), "--out", str(fixes)],
        env=os.environ | UNIT_ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    taken_s, taken_cpu_s = time.perf_counter() - began_s, _cpu_s_of_children() - began_cpu_s
    n_fixes = len(fixes.read_text().splitlines()) if fixes.exists() else 0
    if done.returncode or n_fixes != n_scenes:
        raise HeimdallError(
            f"replay of {n_scenes} scenes: {n_fixes} fixes, exit code {done.returncode}: "
            f"{done.stderr.strip()}"
        )
    return taken_s, taken_cpu_s


def _cpu_s_of_children() -> float:
    """Of those that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _write_lines(path: Path, n_scenes: int) -> None:
    rng = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(n_scenes):
            start_utc_ns = FIRST_UTC_NS + number * SCENE_EACH_S * NS_PER_S
            for observation in heard_by(ring(), n_shared=0, rng=rng):
                payload = observation_payload(at(observation, "channel-0", start_utc_ns))
                stream.write(json.dumps(payload) + "\n")


# ── the daemon ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """What a daemon took."""

    ready_after_s: float
    resident_bytes: int
    peak_bytes: int
    cpu_share: float
    """Of one core, once it had settled."""
    n_threads: int


def daemon_table(broker: LocalBroker, folder: Path, *, seconds: float = DAEMON_S) -> Table:
    """Start to READY, memory and CPU, of the demo's network and of one wideband receiver."""
    configs = {
        "the demo: 7 simulated receivers of 250 ksps": demo_config(broker, folder),
        f"1 receiver of 2.4 Msps, {N_CHANNELS} channels": recording_config(
            broker, folder, seconds=seconds + 5
        ),
    }
    rows = []
    for name, config in configs.items():
        figures = watched_daemon(config, folder, seconds=seconds)
        rows.append(
            (
                name,
                f"{figures.ready_after_s:.2f}",
                f"{figures.resident_bytes / 1e6:.0f}",
                f"{figures.peak_bytes / 1e6:.0f}",
                f"{figures.cpu_share:.0%}",
                str(figures.n_threads),
            )
        )
    return Table(
        title=f"The daemon, publishing to {broker.name}, {seconds:g} s after READY",
        columns=("what it runs", "start to READY, s", "resident, MB", "peak, MB",
                 "CPU, of one core", "threads"),
        rows=rows,
        notes=(
            "the demo's CPU is mostly its simulation; the other plays a file in real time",
            f"target: at most {TARGET_RESIDENT_MB} MB resident",
        ),
    )  # fmt: skip


def demo_config(broker: LocalBroker, folder: Path) -> Path:
    """The demo's configuration in a file, with this broker."""
    demo = files("heimdall_edge").joinpath("data/demo.toml").read_text()
    return _config_file(folder, "demo", demo, broker)


def recording_config(broker: LocalBroker, folder: Path, *, seconds: float) -> Path:
    """A configuration of one receiver, and the file that it plays in real time."""
    band = Band.of(N_CHANNELS)
    recording = folder / "wideband.cu8"
    with recording.open("wb") as stream:
        for _ in range(1 + round(seconds * SAMPLE_RATE_HZ / N_SAMPLES)):
            stream.write(band.samples.tobytes())
    channels = "".join(
        f'[[channels]]\nname = "{c.name}"\nfrequency_hz = {c.frequency_hz}\n' for c in band.channels
    )
    receiver = f"""
        [[receivers]]
        id = "rtl"
        kind = "recording"
        latitude_deg = 45.07
        longitude_deg = 7.69
        center_freq_hz = {CENTER_FREQ_HZ}
        sample_rate_hz = {SAMPLE_RATE_HZ}
        recording = {{ path = "{recording}", format = "raw", pace = "real_time" }}
        """
    return _config_file(folder, "wideband", channels + receiver, broker)


def _config_file(folder: Path, name: str, text: str, broker: LocalBroker) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        f"""
        state_dir = "{folder / name}"
        {text}
        [mqtt]
        host = "127.0.0.1"
        port = {broker.port}
        protocol = "{broker.protocol}"
        [metrics]
        port = 0
        """
    )
    return path


def watched_daemon(config: Path, folder: Path, *, seconds: float) -> DaemonFigures:
    """Run a configuration until so long after READY, and watch it.

    Raises
    ------
    HeimdallError
        It ended before, or did not end as it should.
    """
    with _notify_socket(folder / "notify") as notified, (folder / "daemon.log").open("w+") as log:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(config)],
            env=os.environ | UNIT_ENVIRONMENT | {"NOTIFY_SOCKET": str(folder / "notify")},
            stderr=log,
        )
        try:
            _wait_until_ready(notified, process)
            ready_after_s = time.perf_counter() - began_s
            time.sleep(min(SETTLED_AFTER_S, seconds / 2))
            settled_s, settled_cpu_s = time.perf_counter(), _cpu_s(process.pid)
            time.sleep(max(0.0, began_s + ready_after_s + seconds - settled_s))
            status = _status(process.pid)
            cpu_s, watched_s = _cpu_s(process.pid) - settled_cpu_s, time.perf_counter() - settled_s
            process.terminate()
            process.wait(PATIENCE_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HeimdallError(f"{config.name}: {error}: {_tail(log.name)}") from error
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise HeimdallError(f"{config.name}: exit code {process.returncode}: {_tail(log.name)}")
    return DaemonFigures(
        ready_after_s=ready_after_s,
        resident_bytes=status["VmRSS"] * 1024,
        peak_bytes=status["VmHWM"] * 1024,
        cpu_share=cpu_s / watched_s,
        n_threads=status["Threads"],
    )


@contextmanager
def _notify_socket(path: Path) -> Iterator[socket.socket]:
    """Where a service manager listens, sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        path.unlink(missing_ok=True)
        notified.bind(str(path))
        notified.settimeout(0.1)
        yield notified


def _wait_until_ready(notified: socket.socket, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            if b"READY=1" in notified.recv(4096):
                return
        except TimeoutError:
            continue
    raise TimeoutError("the daemon did not become ready")


def _tail(log: str) -> str:
    return " / ".join(Path(log).read_text(errors="replace").splitlines()[-3:])


def _status(pid: int) -> dict[str, int]:
    """The numbers of proc_pid_status(5): memory in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}


def _cpu_s(pid: int) -> float:
    """User and system time of a process, proc_pid_stat(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
