"""What a station says of itself: ``info`` at start and reload, ``stats`` every minute.

The counts come from the Prometheus series, so that the two can never tell different stories.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import onnxruntime
from prometheus_client import Counter

from heimdall_edge import __version__
from heimdall_edge.config import Config
from heimdall_edge.config_file import config_digest
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.locate.model import LocatorModel
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.encoding import clock_payload
from heimdall_edge.publish.payload_base import SamplesPayload
from heimdall_edge.publish.payload_station import (
    ChannelPayload,
    InfoModelPayload,
    InfoPayload,
    InfoReceiverPayload,
    SoftwarePayload,
    StationPayload,
    StatsPayload,
)
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import ClockState, ReceiverStatus

METHODS = {"rss", "tdoa", "rss+tdoa", "single_receiver_prior"}


def station_info(
    config: Config,
    model: LocatorModel,
    *,
    problems: list[str],
    started_utc_ns: int,
    clock: ClockState,
) -> InfoPayload:
    """Who this station is, what it listens to, with which model, by which clock of the host."""
    identity = model.identity
    return InfoPayload(
        software=SoftwarePayload(
            version=__version__,
            python=platform.python_version(),
            onnxruntime=onnxruntime.__version__,
        ),
        station=StationPayload(
            name=config.station.name,
            latitude=config.station.latitude_deg,
            longitude=config.station.longitude_deg,
            altitude_m=config.station.altitude_m,
        ),
        receivers=[_receiver(config, receiver) for receiver in config.receivers],
        channels=[
            ChannelPayload(name=c.name, frequency_hz=c.frequency_hz, bandwidth_hz=c.bandwidth_hz)
            for c in config.channels
        ],
        models=[
            InfoModelPayload(
                name=identity.name,
                version=identity.version,
                sha256=identity.sha256,
                variant="active",
                schema_name=model.manifest.schema,
            )
        ],
        config_digest=config_digest(config),
        problems=problems,
        clock=clock_payload(clock),
        started_at=rfc3339(started_utc_ns),
    )


def _receiver(config: Config, receiver: Receiver) -> InfoReceiverPayload:
    own_place = receiver.latitude_deg is not None
    return InfoReceiverPayload(
        id=receiver.id,
        kind=receiver.kind,
        enabled=receiver.enabled,
        latitude=receiver.latitude_deg if own_place else config.station.latitude_deg,
        longitude=receiver.longitude_deg if own_place else config.station.longitude_deg,
        altitude_m=receiver.altitude_m,
        antenna_height_m=receiver.antenna_height_m,
        channels=[channel.name for channel in config.channels_of(receiver)],
    )


def station_stats(
    station: str, metrics: Metrics, statuses: list[ReceiverStatus], *, started_monotonic_s: float
) -> StatsPayload:
    """Counts since the start."""
    fixes = _by_label(metrics.fixes, "outcome")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return StatsPayload(
        station=station,
        uptime_s=time.monotonic() - started_monotonic_s,
        observations=sum(_by_label(metrics.observations, "receiver").values()),
        scenes=sum(_by_label(metrics.scenes, "channel").values()),
        fixes=sum(count for outcome, count in fixes.items() if outcome in METHODS),
        refusals={reason: count for reason, count in fixes.items() if reason not in METHODS},
        bursts_refused=_by_label(metrics.bursts_refused, "reason"),
        samples={
            status.receiver_id: SamplesPayload(
                received=status.count.received,
                lost=status.count.lost,
                dropped=status.count.dropped,
                clipped=status.count.clipped,
            )
            for status in statuses
        },
        cpu_s=usage.ru_utime + usage.ru_stime,
        resident_bytes=resident_bytes(),
    )


def _by_label(counter: Counter, label: str) -> dict[str, int]:
    """Label value → count, summed over the other labels."""
    counts: dict[str, int] = {}
    for sample in (s for family in counter.collect() for s in family.samples):
        if sample.name.endswith("_total"):
            labels: Mapping[str, str] = sample.labels
            counts[labels[label]] = counts.get(labels[label], 0) + int(sample.value)
    return counts


def resident_bytes() -> int:
    """Memory in use now (not the peak), from /proc/self/statm (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
