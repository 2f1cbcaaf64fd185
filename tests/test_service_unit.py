"""The systemd unit: known to systemd, and hardened."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

UNIT = Path(__file__).parent.parent / "systemd" / "heimdall-edge.service"
MAX_EXPOSURE = 1.6


def test_systemd_knows_every_key(tmp_path):
    # `verify` wants the program to be there, and exits 0 for unknown keys: its words count.
    text = UNIT.read_text().replace("/usr/bin/heimdall-edge", "/bin/true")
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_exposure_is_low():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE


def test_errors_of_the_operator_are_not_restarted_and_the_stop_is_long_enough():
    from heimdall_edge.daemon import STOP_WITHIN_S, STUCK_AFTER_S
    from heimdall_edge.process import ExitCode

    text = UNIT.read_text()
    kept = re.search(r"RestartPreventExitStatus=(.*)", text)
    assert kept
    assert kept[1].split() == [str(int(ExitCode.USAGE)), str(int(ExitCode.CONFIG))]
    stop = re.search(r"TimeoutStopSec=(\d+)", text)
    watchdog = re.search(r"WatchdogSec=(\d+)", text)
    assert stop
    assert watchdog
    assert float(stop[1]) > STOP_WITHIN_S
    assert float(watchdog[1]) > 2 * STUCK_AFTER_S
