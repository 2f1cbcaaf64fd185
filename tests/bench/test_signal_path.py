"""CPU by channels, and mel against librosa: that the figures are of what they say."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from heimdall_edge.bench import signal_path
from heimdall_edge.bench.iq import N_SAMPLES, SAMPLE_RATE_HZ, Band
from heimdall_edge.bench.signal_path import cpu_share, cpu_table, least_cpu_s, mel_table


def burn(seconds: float) -> None:
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass


def test_the_share_is_cpu_time_over_the_samples_own_time():
    n_block = 262_144
    block_s = n_block / SAMPLE_RATE_HZ

    def process(_block: object) -> None:
        burn(block_s / 4)

    share = cpu_share(process, Band.of(1), n_block, seconds=0.5)
    assert share == pytest.approx(0.25, rel=0.1)


def test_each_row_measured_the_bursts_of_its_rounds(monkeypatch):
    monkeypatch.setattr(signal_path, "N_CHANNELS", (8,))
    monkeypatch.setattr(signal_path, "BLOCK_SAMPLES", (262_144,))
    table = cpu_table(seconds=2 * N_SAMPLES / SAMPLE_RATE_HZ)
    (row,) = table.rows
    assert len(row) == len(table.columns)
    figures = dict(zip(table.columns, row, strict=True))
    assert (figures["channels"], figures["of them active"]) == ("8", "2")
    assert 0 < float(figures["front end"]) < float(figures["CPU s per s of IQ"]) < 2
    # Two channels in four rounds, and the floor is not known at the first round's start.
    assert 6 <= int(figures["bursts measured"]) <= 8


@pytest.fixture
def small_mel(monkeypatch):
    monkeypatch.setattr(signal_path, "MEL_SHAPES", ((256, 64, 64),))
    monkeypatch.setattr(signal_path, "MEL_SAMPLES", 16_000)
    monkeypatch.setattr(signal_path, "MEL_TURNS", 1)


def test_mel_is_compared_with_librosas_where_that_is_installed(small_mel):
    pytest.importorskip("librosa")
    table = mel_table()
    (row,) = table.rows
    ours, theirs, ratio = (float(cell) for cell in row[3:])
    assert ours > 0
    assert theirs > 0
    assert ratio == pytest.approx(ours / theirs, rel=0.3)
    assert "real part" in table.notes[0]


def test_without_librosa_the_table_says_so(small_mel, monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    table = mel_table()
    (row,) = table.rows
    assert row[4:] == ("-", "-")
    assert "not installed" in table.notes[0]


def test_the_first_turn_does_not_count(monkeypatch):
    monkeypatch.setattr(signal_path, "MEL_TURNS", 2)
    calls = []

    def slow_at_first() -> None:
        burn(0.001 if calls else 0.1)
        calls.append(np.nan)

    (least_s,) = least_cpu_s([slow_at_first])
    assert len(calls) == 3
    assert least_s < 0.05
