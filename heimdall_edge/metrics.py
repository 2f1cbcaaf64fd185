"""Every Prometheus series, in one table.

Prefix ``heimdall_edge_``, base units, ``_total`` on what only rises; labels are bounded by the
configuration (receivers, channels) or by a closed set in the code (reasons, outcomes, kinds).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from heimdall_edge.types import ClockState, ReceiverState, ReceiverStatus, SampleCount

PREFIX = "heimdall_edge"
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Series(NamedTuple):
    """A series as it is documented."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


class Metrics:
    """The daemon's series, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        self.series: list[Series] = []
        self._followed: dict[tuple[int, str], int] = {}

        def described(name: str, kind: str, text: str, labels: tuple[str, ...]) -> None:
            self.series.append(Series(f"{PREFIX}_{name}", kind, labels, text))

        def counter(name: str, text: str, *labels: str) -> Counter:
            described(name, "counter", text, labels)
            return Counter(name, text, labels, namespace=PREFIX, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            described(name, "gauge", text, labels)
            return Gauge(name, text, labels, namespace=PREFIX, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            described(name, "histogram", text, labels)
            return Histogram(
                name, text, labels, namespace=PREFIX, registry=registry, buckets=SECONDS_BUCKETS
            )

        # fmt: off
        self.build = Info("build", "Version of the software.", namespace=PREFIX, registry=registry)
        self.model = Info("model", "The model in force.", namespace=PREFIX, registry=registry)
        described("build_info", "gauge", "Version of the software.", ("version",))
        described("model_info", "gauge", "The model in force.", ("name", "version", "sha256"))

        self.samples_received = counter("samples_received_total", "Samples that receivers gave.", "receiver")
        self.samples_lost = counter("samples_lost_total", "Samples that USB or the network lost.", "receiver")
        self.samples_dropped = counter("samples_dropped_total", "Samples that we dropped, for want of CPU.", "receiver")
        self.samples_clipped = counter("samples_clipped_total", "Samples at the converter's limit.", "receiver")
        self.samples_discarded = counter("samples_discarded_total", "Samples thrown away while a tuner settled.", "receiver")
        self.frequency_error = gauge("frequency_error_ppm", "Estimated error of the receiver's crystal.", "receiver")
        self.frequency_error_sigma = gauge("frequency_error_sigma_ppm", "Standard deviation of that estimate.", "receiver")
        self.clock_sigma = gauge("clock_sigma_seconds", "Standard deviation of the receiver's time stamps.", "receiver")
        self.clock_locked = gauge("clock_locked", "1 while the receiver's clock is disciplined.", "receiver")
        self.given_up = gauge("given_up_steps", "Steps of work given up for want of CPU: mel first, then channels by priority.", "receiver")
        self.receiver_state = gauge("receiver_state", "1 for the state that the receiver is in.", "receiver", "state")
        self.host_clock_sigma = gauge("host_clock_sigma_seconds", "Standard deviation of the host's clock, where it is known.")
        self.host_clock_locked = gauge("host_clock_locked", "1 while the host's clock is disciplined.")
        self.clock_steps = counter("clock_steps_total", "Times that the host's clock was stepped by 0.25 s or more.")
        self.receiver_failures = counter("receiver_failures_total", "Times that a receiver failed or could not be opened.", "receiver")
        self.fifo_blocks = gauge("fifo_blocks", "Blocks that wait for the worker.", "receiver")
        self.noise_floor = gauge("noise_floor_dbfs", "Tracked noise floor in the channel.", "receiver", "channel")

        self.evidence = counter("evidence_recordings_total", "Recordings written, or not kept as they should be, by reason.", "outcome")
        self.evidence_deleted = counter("evidence_deleted_total", "Recordings deleted, by bound.", "reason")
        self.evidence_queued = gauge("evidence_queued_bytes", "Samples that wait to be written.")
        self.evidence_bytes = gauge("evidence_bytes", "Size of the recordings on disk.")

        self.observations = counter("observations_total", "Observations that came in, by feed.", "receiver")
        self.bursts_refused = counter("bursts_refused_total", "Bursts that could not be used.", "reason")
        self.observations_refused = counter("observations_refused_total", "Lines or observations that were not used.", "reason")
        self.scenes = counter("scenes_total", "Transmissions that were brought together.", "channel")
        self.fixes = counter("fixes_total", "Fixes published, refusals among them.", "channel", "outcome")
        self.open_scenes = gauge("open_scenes", "Transmissions that still wait for receivers.")

        self.inference = seconds("inference_duration_seconds", "One inference of the model.")
        self.window_to_fix = seconds("window_to_fix_duration_seconds", "From the last receiver's window to the fix.")
        self.window_to_puback = seconds("window_to_puback_duration_seconds", "From the last receiver's window to the broker's word.")
        self.puback = seconds("mqtt_puback_duration_seconds", "From handing a message over to the broker's word.", "kind")

        self.mqtt_connected = gauge("mqtt_connected", "1 while the broker is connected.")
        self.mqtt_acknowledged = counter("mqtt_acknowledged_total", "Messages that the broker took.", "kind")
        self.mqtt_refused = counter("mqtt_refused_total", "Messages that the broker refused.", "reason")
        self.outbox_rows = gauge("outbox_messages", "Messages that wait for the broker.")
        self.outbox_bytes = gauge("outbox_bytes", "Their size.")
        self.outbox_age = gauge("outbox_oldest_age_seconds", "Age of the oldest of them.")
        self.outbox_on_disk = gauge("outbox_on_disk", "1 while the outbox is on disk; 0: in memory, for want of it.")
        self.outbox_evicted = counter("outbox_evicted_total", "Messages given up, by bound.", "reason")

        self.reloads = counter("reloads_total", "Reloads, by how they ended.", "outcome")
        self.ready_after = gauge("start_duration_seconds", "From start to READY.")
        # fmt: on

    def receiver_is(self, status: ReceiverStatus) -> None:
        """Set the series of one receiver's state: 1 for the one it is in, and how its clock is."""
        for state in ReceiverState:
            is_in = 1.0 if state is status.state else 0.0
            self.receiver_state.labels(status.receiver_id, state.value).set(is_in)
        self.clock_locked.labels(status.receiver_id).set(status.clock.locked)
        if status.clock.sigma_s is not None:
            self.clock_sigma.labels(status.receiver_id).set(status.clock.sigma_s)
        if status.frequency_error:
            self.frequency_error.labels(status.receiver_id).set(status.frequency_error.ppm)
            sigma_ppm = status.frequency_error.sigma_ppm
            self.frequency_error_sigma.labels(status.receiver_id).set(sigma_ppm)

    def host_clock_is(self, clock: ClockState) -> None:
        """Set the series of the host's own clock."""
        self.host_clock_locked.set(clock.locked)
        if clock.sigma_s is not None:
            self.host_clock_sigma.set(clock.sigma_s)

    def follow(self, counter: Counter, counts: Mapping[str, int]) -> None:
        """Bring a counter of one label up to counts that somebody else keeps."""
        for label, count in counts.items():
            key = (id(counter), label)
            counter.labels(label).inc(max(0, count - self._followed.get(key, 0)))
            self._followed[key] = count

    def count_samples(self, receiver_id: str, count: SampleCount, *, discarded: int = 0) -> None:
        """Add what became of one block's samples."""
        self.samples_received.labels(receiver_id).inc(count.received)
        self.samples_lost.labels(receiver_id).inc(count.lost)
        self.samples_dropped.labels(receiver_id).inc(count.dropped)
        self.samples_clipped.labels(receiver_id).inc(count.clipped)
        self.samples_discarded.labels(receiver_id).inc(discarded)


def metrics_document() -> str:
    """``docs/metrics.md``: ``python -m heimdall_edge.metrics > docs/metrics.md`` (``make docs``)."""
    rows = [
        f"| `{s.name}` | {s.kind} | {', '.join(s.labels) or '–'} | {s.text} |"
        for s in Metrics().series
    ]
    return "\n".join(
        [
            "# Metrics",
            "",
            "What `http://127.0.0.1:9463/metrics` (`[metrics]` in the configuration) serves, beside",
            "the usual `process_…` and `python_info` series. Labels are bounded: receivers and",
            "channels by the configuration, reasons, outcomes and kinds by the code.",
            "",
            "| series | type | labels | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


class MetricsEndpoint:
    """Serves a registry over HTTP; a port that is taken is the operator's to solve."""

    def __init__(self, metrics: Metrics, *, listen: str, port: int) -> None:
        self._server: WSGIServer
        self._server, self._thread = start_http_server(port, addr=listen, registry=metrics.registry)

    @property
    def port(self) -> int:
        """The port in use, also where 0 asked for any."""
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


if __name__ == "__main__":
    sys.stdout.write(metrics_document())
