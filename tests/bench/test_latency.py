"""Latencies through the real locator thread, outbox and broker."""

from __future__ import annotations

import queue

import pytest

from heimdall_edge.bench import latency
from heimdall_edge.bench.broker import LocalBroker, running_broker
from heimdall_edge.bench.latency import latency_table
from heimdall_edge.errors import HeimdallError


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(latency, "N_WARM_UP", 2)
    monkeypatch.setattr(latency, "N_DIFFERENT", 2)


def test_every_scene_becomes_a_fix_that_the_broker_acknowledges(quick, tmp_path):
    with running_broker(tmp_path) as broker:
        table = latency_table(broker, tmp_path, max_scenes=5)
    assert "mosquitto" in table.title
    assert [row[:2] for row in table.rows] == [("0 of 10", "5"), ("4 of 10", "5")]
    for row in table.rows:
        fix_ms, puback_ms = ([float(c) for c in row[i : i + 3]] for i in (2, 5))
        assert fix_ms == sorted(fix_ms)
        assert puback_ms == sorted(puback_ms)
        assert all(0 < fix < puback for fix, puback in zip(fix_ms, puback_ms, strict=True))


def test_on_a_slow_machine_there_are_fewer_scenes(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "LIMIT_S", 0.0)
    monkeypatch.setattr(latency, "SHARED_CLOCKS", (0,))
    with running_broker(tmp_path) as broker:
        (row,) = latency_table(broker, tmp_path, max_scenes=100).rows
    assert row[1] == "1"


def test_a_broker_that_does_not_answer_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "PATIENCE_S", 0.2)
    nobody = LocalBroker("nobody", 1, "5")
    with pytest.raises(HeimdallError, match="nobody: "):
        latency_table(nobody, tmp_path)


def test_what_never_comes_is_named(monkeypatch):
    monkeypatch.setattr(latency, "PATIENCE_S", 0.01)
    with pytest.raises(HeimdallError, match="no PUBACK within"):
        latency._taken(queue.SimpleQueue(), "PUBACK")
