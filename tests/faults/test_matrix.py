"""The fault matrix, once through: ``make faults`` plays each fault several times."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from .matrix import FAULTS


@pytest.mark.timeout(600)
def test_every_fault_is_recovered_from_and_costs_the_others_nothing():
    command = [sys.executable, "-m", "tests.faults", "--trials", "1"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(FAULTS)} of {len(FAULTS)} faults recovered from" in run.stdout
    for fault in FAULTS:
        row = next(line for line in run.stdout.splitlines() if fault.name in line)
        assert re.search(r" 1 +[0-9.]+ \([0-9.]+\) ", row), row


def test_the_names_of_faults_tell_them_apart():
    names = [(fault.kind, fault.name) for fault in FAULTS]
    assert len(set(names)) == len(names)
