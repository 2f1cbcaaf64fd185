"""Whole processes: a replay's speed, and the daemon's start, memory and CPU."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from heimdall_edge.bench import processes
from heimdall_edge.bench.broker import LocalBroker, running_broker
from heimdall_edge.bench.processes import (
    UNIT_ENVIRONMENT,
    DaemonFigures,
    daemon_table,
    demo_config,
    recording_config,
    replay_s,
    replay_table,
    watched_daemon,
)
from heimdall_edge.config_file import load_config
from heimdall_edge.errors import HeimdallError

UNIT = Path(__file__).parents[2] / "systemd" / "heimdall-edge.service"
BROKER = LocalBroker("a broker", 1883, "5")
DAEMON_WITH_A_BUG = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit("a bug"))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


def fake_command(folder: Path, script: str) -> tuple[str, ...]:
    program = folder / "command"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return (str(program),)


def test_processes_run_in_the_environment_of_the_systemd_unit():
    (line,) = re.findall(r"^Environment=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert dict(pair.split("=") for pair in line.split()) == UNIT_ENVIRONMENT


def test_a_replay_gives_one_fix_a_scene_and_takes_time(tmp_path):
    wall_s, cpu_s = replay_s(tmp_path, n_scenes=3)
    assert 0 < cpu_s < 60
    assert wall_s > 0
    assert len((tmp_path / "3-fixes.jsonl").read_text().splitlines()) == 3


def test_a_replay_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "COMMAND", fake_command(tmp_path, "echo no model >&2; exit 65"))
    with pytest.raises(HeimdallError, match="0 fixes, exit code 65: no model"):
        replay_s(tmp_path, n_scenes=1)


def test_the_start_of_the_process_is_taken_off_the_fixes_time(tmp_path, monkeypatch):
    taken = {1: (2.0, 1.5), 101: (7.0, 5.5)}
    monkeypatch.setattr(processes, "replay_s", lambda _folder, n_scenes: taken[n_scenes])
    (row,) = replay_table(tmp_path, n_scenes=100).rows
    assert row == ("100", "1,000", "5.00", "20", "25", "2.00")


def test_a_daemon_is_watched_from_its_start_to_its_end(tmp_path):
    with running_broker(tmp_path) as broker:
        figures = watched_daemon(demo_config(broker, tmp_path), tmp_path, seconds=1.0)
    assert 0.1 < figures.ready_after_s < processes.PATIENCE_S
    assert 50e6 < figures.resident_bytes <= figures.peak_bytes < 1e9
    assert 0 < figures.cpu_share < os.cpu_count()
    assert figures.n_threads > 7


def test_a_daemon_that_ends_before_it_is_ready_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "COMMAND", fake_command(tmp_path, "echo bad key >&2; exit 78"))
    with pytest.raises(HeimdallError, match=r"demo.toml: .*not become ready: bad key"):
        watched_daemon(demo_config(BROKER, tmp_path), tmp_path, seconds=1.0)


def test_a_daemon_that_does_not_end_well_is_said(tmp_path, monkeypatch):
    program = tmp_path / "daemon.py"
    program.write_text(DAEMON_WITH_A_BUG)
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, str(program)))
    with pytest.raises(HeimdallError, match="exit code 1: a bug"):
        watched_daemon(demo_config(BROKER, tmp_path), tmp_path, seconds=0.2)


def test_both_configurations_are_good_and_speak_to_the_broker(tmp_path):
    demo = load_config(demo_config(BROKER, tmp_path))
    wideband = load_config(recording_config(BROKER, tmp_path, seconds=2.0))
    assert len(demo.receivers) == 7
    (receiver,) = wideband.receivers
    assert receiver.recording.pace == "real_time"
    assert receiver.recording.path.stat().st_size >= 2.0 * receiver.sample_rate_hz * 2
    assert len(wideband.channels) == 8
    for config in (demo, wideband):
        assert (config.mqtt.host, config.mqtt.port_number) == ("127.0.0.1", BROKER.port)
        assert config.metrics.port == 0


def test_the_table_gives_megabytes_and_percent(tmp_path, monkeypatch):
    figures = DaemonFigures(1.234, 150_000_000, 160_000_000, 0.225, 9)
    monkeypatch.setattr(processes, "watched_daemon", lambda *_args, **_options: figures)
    table = daemon_table(BROKER, tmp_path, seconds=1.0)
    assert len(table.rows) == 2
    for row in table.rows:
        assert row[1:] == ("1.23", "150", "160", "22%", "9")
