"""The Prometheus series: linted by promtool, scraped over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from heimdall_edge.metrics import Metrics, MetricsEndpoint, metrics_document
from heimdall_edge.types import ReceiverState, ReceiverStatus, SampleCount


@pytest.fixture
def metrics() -> Metrics:
    """All series, each with one sample."""
    metrics = Metrics()
    metrics.build.info({"version": "0"})
    metrics.model.info({"name": "n", "version": "v", "sha256": "0"})
    metrics.receiver_is(ReceiverStatus("rx1", ReceiverState.RUNNING, 0))
    metrics.count_samples("rx1", SampleCount(10, 2, 3, 1))
    metrics.fixes.labels("pmr1", "rss").inc()
    metrics.puback.labels("fix").observe(0.01)
    return metrics


def test_promtool_finds_nothing_to_say(metrics):
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus"
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=generate_latest(metrics.registry),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    assert done.stderr == b""


def test_samples_are_counted_by_what_became_of_them(metrics):
    text = generate_latest(metrics.registry).decode()
    for name, value in (("received", 10), ("lost", 2), ("dropped", 3), ("clipped", 1)):
        assert f'heimdall_edge_samples_{name}_total{{receiver="rx1"}} {value}.0' in text


def test_a_receiver_is_in_one_state(metrics):
    metrics.receiver_is(ReceiverStatus("rx1", ReceiverState.SILENT, 0))
    text = generate_latest(metrics.registry).decode()
    assert 'receiver_state{receiver="rx1",state="silent"} 1.0' in text
    assert 'receiver_state{receiver="rx1",state="running"} 0.0' in text


def test_the_endpoint_answers_a_scrape_and_closes(metrics):
    endpoint = MetricsEndpoint(metrics, listen="127.0.0.1", port=0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=5) as page:
            assert b"heimdall_edge_samples_received_total" in page.read()
    finally:
        endpoint.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=5)


def test_a_port_that_is_taken_raises(metrics):
    endpoint = MetricsEndpoint(metrics, listen="127.0.0.1", port=0)
    try:
        with pytest.raises(OSError, match="in use"):
            MetricsEndpoint(metrics, listen="127.0.0.1", port=endpoint.port)
    finally:
        endpoint.close()


def test_the_document_is_what_the_code_says():
    path = Path(__file__).parent.parent / "docs" / "metrics.md"
    assert path.read_text() == metrics_document(), "run: make docs"


def test_every_series_that_is_served_is_documented(metrics):
    documented = metrics_document()
    for family in metrics.registry.collect():
        if family.name.startswith("heimdall_edge_"):
            assert f"`{family.name}" in documented, family.name
