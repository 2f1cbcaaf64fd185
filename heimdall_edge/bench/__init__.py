"""What ``heimdall-edge bench`` prints: how fast this machine runs the daemon's own parts.

::

    synthetic IQ ───────▶ SignalChain, mel_spectrogram ──▶ CPU by channels, mel
    observations ───────▶ LocatorThread ─▶ MqttPublisher ─▶ a real broker ──▶ latency
    lines, whole configurations ─▶ processes of their own ──▶ fixes per second, start, memory

Nothing is estimated: each figure is of the code that a station runs, fed with made-up data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from heimdall_edge import journal
from heimdall_edge.bench.broker import running_broker
from heimdall_edge.bench.latency import latency_table
from heimdall_edge.bench.processes import daemon_table, replay_table
from heimdall_edge.bench.signal_path import cpu_table, mel_table
from heimdall_edge.bench.table import Table, machine_in_words


def print_tables(*, seconds: float) -> None:
    """Measure, and print a table as soon as it is whole.

    Parameters
    ----------
    seconds
        Of IQ for each row of the first table; the others take what they need.
    """
    journal.configure(level="error")
    _print(cpu_table(seconds=seconds))
    _print(mel_table())
    with tempfile.TemporaryDirectory(prefix="heimdall-edge-bench-") as name:
        folder = Path(name)
        with running_broker(folder) as broker:
            _print(latency_table(broker, folder))
            _print(replay_table(folder))
            _print(daemon_table(broker, folder))


def _print(table: Table) -> None:
    sys.stdout.write(f"{table.in_words(machine_in_words())}\n\n")
    sys.stdout.flush()
