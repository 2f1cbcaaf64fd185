"""What a station says of itself → ``heimdall.receiver/1``, and its outbox."""

from __future__ import annotations

import math
from typing import Any

from heimdall_edge.publish.encoding import clock_payload, faults_named, finite
from heimdall_edge.publish.outbox import OutboxState
from heimdall_edge.publish.payload_base import OutboxPayload
from heimdall_edge.publish.payload_station import ReceiverPayload, ReceiverSamplesPayload
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import ReceiverStatus


@faults_named()
def receiver_payload(
    status: ReceiverStatus,
    *,
    station: str,
    published_at_utc_ns: int,
    outbox: OutboxPayload | None = None,
) -> dict[str, Any]:
    """A receiver's state as it is published, ``heimdall.receiver/1``."""
    count, place, error = status.count, status.place, status.frequency_error
    return ReceiverPayload(
        schema_="heimdall.receiver/1",
        station=station,
        id=status.receiver_id,
        state=status.state.value,
        since=rfc3339(status.since_utc_ns),
        reason=status.reason[:1024] if status.reason else None,
        sample_rate_hz=finite(status.sample_rate_hz),
        gain_db=finite(status.gain_db),
        device=status.device[:1024] if status.device else None,
        ppm=finite(error.ppm) if error else None,
        ppm_sigma=finite(error.sigma_ppm) if error else None,
        samples=ReceiverSamplesPayload(
            received=count.received,
            lost=count.lost,
            dropped=count.dropped,
            clipped=count.clipped,
            clipped_fraction=count.clipped_fraction if count.received else None,
        ),
        noise_floor_dbfs={
            channel: float(floor)
            for channel, floor in status.noise_floor_dbfs.items()
            if math.isfinite(floor)
        },
        clock=clock_payload(status.clock),
        given_up=list(status.given_up),
        latitude=finite(place.latitude_deg) if place else None,
        longitude=finite(place.longitude_deg) if place else None,
        outbox=outbox,
        published_at=rfc3339(published_at_utc_ns),
    ).to_dict()


def outbox_payload(state: OutboxState) -> OutboxPayload:
    """What waits for the broker."""
    return OutboxPayload(
        depth=state.depth,
        bytes=state.bytes,
        oldest_age_s=state.oldest_age_s,
        on_disk=state.on_disk,
        evicted=dict(state.evicted),
        last_error=state.last_error[:1024] if state.last_error else None,
    )
