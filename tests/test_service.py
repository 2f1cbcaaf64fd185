"""The daemon as a process: what systemd, a terminal and an operator see of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0
STATION = """
state_dir = "{folder}/state"
station = {{ name = "s", latitude_deg = 45.0, longitude_deg = 7.0 }}
metrics.port = {port}
[[channels]]
name = "a"
frequency_hz = 446.0e6
open_db = 8.0
[[simulation.transmitters]]
name = "tx"
latitude_deg = 45.01
longitude_deg = 7.01
frequency_hz = 446.0e6
power_dbm = 37.0
first_on_s = 0.7
on_s = 0.6
off_s = 1.4
"""
RECEIVER = """
[[receivers]]
id = "{name}"
kind = "simulated"
latitude_deg = {latitude}
longitude_deg = {longitude}
center_freq_hz = 446.01e6
sample_rate_hz = {rate_hz}
gain_db = 40.0
simulated = {{ full_scale_dbm = -30.0, block_samples = 16_384 }}
"""
PLACES = {"n": (45.03, 7.01), "e": (45.01, 7.05), "s": (44.99, 7.0), "w": (45.01, 6.97)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """``heimdall-edge run`` with a notification socket, as systemd would start it."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str]) -> None:
        self.notifications: list[str] = []
        self.lines: list[dict[str, object]] = []
        self.journal: list[str] = []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "heimdall_edge.cli", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **environment},
        )
        assert self.process.stdout
        assert self.process.stderr
        out, journal = self.process.stdout, self.process.stderr
        self._threads = [
            threading.Thread(target=self._collect, args=(lambda: self._socket.recv(4096).decode(),
                                                          self.notifications.append)),
            threading.Thread(target=self._collect, args=(lambda: out.readline(),
                             lambda line: self.lines.append(json.loads(line)))),
            threading.Thread(target=self._collect, args=(lambda: journal.readline(),
                                                         self.journal.append)),
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def _collect(self, read: Callable[[], str], keep: Callable[[str], object]) -> None:
        while text := read():
            with self._changed:
                keep(text)
                self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), (
                f"still not: {what}\n{self.notifications}\n{''.join(self.journal[-20:])}"
            )

    def wait_ready(self, times: int = 1) -> None:
        self.wait_for(
            lambda: sum("READY=1" in n for n in self.notifications) >= times, f"READY x{times}"
        )

    def of(self, schema: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["schema"] == schema]

    def reload(self) -> None:
        ready = sum("READY=1" in n for n in self.notifications)
        self.process.send_signal(signal.SIGHUP)
        self.wait_ready(ready + 1)

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.close()

    def close(self) -> int:
        code = self.process.wait(PATIENCE_S)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as goodbye:
            goodbye.sendto(b"", self._socket.getsockname())
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for stream in (self._socket, self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        return code


@pytest.fixture
def service_of(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Configuration text → the running service."""
    made: list[Service] = []

    def start(text: str, *arguments: str, **environment: str) -> Service:
        path = tmp_path / "s.toml"
        path.write_text(text)
        made.append(Service(tmp_path, "--config", str(path), *arguments, environment=environment))
        return made[-1]

    yield start
    for service in made:
        if service.process.poll() is None:
            service.end(signal.SIGKILL)


def station(folder: Path, *, port: int = 0, rate_hz: str = "250e3", names: str = "nesw") -> str:
    receivers = [
        RECEIVER.format(name=n, latitude=PLACES[n][0], longitude=PLACES[n][1], rate_hz=rate_hz)
        for n in names
    ]
    return STATION.format(folder=folder, port=port) + "".join(receivers)


def test_it_gets_ready_gives_fixes_and_stops_cleanly(service_of, tmp_path):
    service = service_of(station(tmp_path), "--stdout", WATCHDOG_USEC="200000", WATCHDOG_PID="")
    service.wait_ready()
    service.wait_for(lambda: service.of("heimdall.fix/1"), "a fix")
    assert service.end() == 0
    fix = service.of("heimdall.fix/1")[0]
    assert fix["position"], fix
    assert len(service.of("heimdall.observation/1")) >= 3
    assert service.of("heimdall.info/1")[0]["station"]["name"] == "s"  # type: ignore[index]
    states = {r["state"] for r in service.of("heimdall.receiver/1")}
    assert {"running", "disabled"} <= states
    words = [n.split("\n")[0] for n in service.notifications]
    assert words[0] == "READY=1"
    assert "WATCHDOG=1" in words
    assert "STOPPING=1" in words
    assert "event=stopped" in service.journal[-1]


def test_ctrl_c_is_a_clean_stop_too(service_of, tmp_path):
    service = service_of(station(tmp_path, names="n"), "--stdout")
    service.wait_ready()
    assert service.end(signal.SIGINT) == 0


def test_under_the_journal_lines_carry_their_priority(service_of, tmp_path):
    service = service_of(station(tmp_path, names="n"), "--stdout", JOURNAL_STREAM="8:1")
    service.wait_ready()
    assert service.end() == 0
    assert all(re.match(r"<[3-7]>event=\w+ part=\w+", line) for line in service.journal)


def test_reloads_lose_no_sample_at_2_4_msps(service_of, tmp_path):
    port = free_port()
    text = station(tmp_path, port=port, rate_hz="2.4e6", names="n")
    service = service_of(text, "--stdout")
    service.wait_ready()
    path = tmp_path / "s.toml"
    changes = [
        (text.replace("open_db = 8.0", "open_db = 9.0"), "applied"),
        (text.replace("open_db = 8.0", "open_db = "), "refused"),
        (text.replace("frequency_hz = 446.0e6\nopen", "frequency_hz = 470e6\nopen"), "refused"),
        (text.replace("[[channels]]", "locator.model_path = 's.toml'\n[[channels]]"), "refused"),
        (text + '\n[[channels]]\nname = "b"\nfrequency_hz = 446.1e6\n', "applied"),
        (text, "applied"),
    ]
    outcomes = []
    for changed, outcome in changes:
        path.write_text(changed)
        service.reload()
        outcomes.append(outcome)
    fixes = len(service.of("heimdall.observation/1"))
    service.wait_for(lambda: len(service.of("heimdall.observation/1")) > fixes, "another burst")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        series = page.read().decode()
    assert service.end() == 0
    for outcome in ("applied", "refused"):
        count = outcomes.count(outcome)
        assert f'heimdall_edge_reloads_total{{outcome="{outcome}"}} {count}.0' in series
    samples = service.of("heimdall.receiver/1")[-1]["samples"]
    assert isinstance(samples, dict)
    assert samples["received"] > 2_400_000
    assert (samples["lost"], samples["dropped"]) == (0, 0)
    refused = [line for line in service.journal if "reload_refused" in line]
    assert len(refused) == 3
    assert "Invalid value" in refused[0]
    assert "lies outside its band" in refused[1]
    assert "s.toml" in refused[2]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("open_db = 8.0", "open_db = -8.0", "channels[0].open_db = -8.0"),
        ("metrics.port = 0", "metrics.listen = '203.0.113.1'", "metrics.listen = '203.0.113.1'"),
    ],
)
def test_a_wrong_configuration_ends_with_ex_config_and_the_key(
    old, new, said, service_of, tmp_path
):
    service = service_of(station(tmp_path, names="n").replace(old, new), "--stdout")
    assert service.close() == 78
    assert said in "".join(service.journal)


def test_onnxruntime_sends_and_keeps_nothing(service_of, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    service = service_of(
        station(tmp_path, names="n"), "--stdout", HOME=str(home), XDG_CACHE_HOME=str(home / "cache")
    )
    service.wait_ready()
    sockets = subprocess.run(
        ["ss", "-tunpH"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    assert f"pid={service.process.pid}," not in sockets
    assert service.end() == 0
    assert list(home.rglob("*")) == []


# ── with a real broker ────────────────────────────────────────────────────────────────────


def station_at(folder: Path, broker_port: int, **more: Any) -> str:
    """A station that publishes to a broker on loopback, its state in ``folder``."""
    return station(folder, **more) + f'\n[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n'


def logged_fix_ids(service: Service) -> list[str]:
    return [m[1] for line in service.journal if (m := re.search(r"fix_id=(\w+)", line))]


def test_a_hub_sees_the_station_come_speak_and_go(service_of, tmp_path, mosquitto, subscribe):
    hub = subscribe(mosquitto.port)
    service = service_of(station_at(tmp_path, mosquitto.port))
    service.wait_ready()
    hub.wait_for("s/fix")
    assert service.end() == 0
    assert [r.payload for r in hub.wait_for("s/availability", 2)] == [b"online", b"stopped"]
    assert hub.on("s/info")[0].json["models"][0]["name"] == "reference"
    assert {r.json["state"] for r in hub.on("n/state")} >= {"running", "disabled"}
    fix = hub.on("s/fix")[0]
    assert not fix.retain
    assert hub.on("s/fix/last/a")[0].retain
    assert fix.json["position"]
    assert {r.json["fix_id"] for r in hub.on("s/fix")} >= set(logged_fix_ids(service))


def test_a_broker_that_is_down_at_start_gets_everything_later(
    service_of, tmp_path, mosquitto_of, subscribe
):
    broker = mosquitto_of("allow_anonymous true")
    service = service_of(station_at(tmp_path, broker.port))
    service.wait_ready()
    service.wait_for(lambda: len(logged_fix_ids(service)) >= 2, "two fixes")
    produced = set(logged_fix_ids(service))
    broker.start()
    hub = subscribe(broker.port)
    fixes = hub.wait_for_fixes(produced)
    assert service.end() == 0
    assert {f.json["fix_id"] for f in fixes if f.json["replayed"]} >= produced


def test_kill_9_with_a_full_outbox_loses_nothing(service_of, tmp_path, mosquitto_of, subscribe):
    broker = mosquitto_of("allow_anonymous true")
    text = station_at(tmp_path, broker.port)
    service = service_of(text)
    service.wait_ready()
    service.wait_for(lambda: len(logged_fix_ids(service)) >= 3, "three fixes")
    # The last one logged may not have reached the disk yet; those before it have.
    produced = set(logged_fix_ids(service)[:-1])
    assert service.end(signal.SIGKILL) == -signal.SIGKILL
    (tmp_path / "notify").unlink()
    broker.start()
    hub = subscribe(broker.port)
    again = service_of(text)
    again.wait_ready()
    fixes = hub.wait_for_fixes(produced)
    assert again.end() == 0
    assert all(f.json["replayed"] for f in fixes if f.json["fix_id"] in produced)


def test_a_full_state_disk_is_said_and_nothing_is_lost(
    service_of, tmp_path, mosquitto_of, subscribe, small_disk
):
    broker = mosquitto_of("allow_anonymous true")
    text = station_at(tmp_path, broker.port).replace(
        f"{tmp_path}/state", str(small_disk.folder / "state")
    )
    service = service_of(text)
    service.wait_ready()
    service.wait_for(lambda: logged_fix_ids(service), "a fix")
    small_disk.fill()
    already = len(logged_fix_ids(service))
    service.wait_for(lambda: len(logged_fix_ids(service)) >= already + 2, "two more fixes")
    produced = set(logged_fix_ids(service))
    broker.start()
    hub = subscribe(broker.port)
    hub.wait_for_fixes(produced)
    assert service.end() == 0
    assert "outbox" in "".join(service.journal)
