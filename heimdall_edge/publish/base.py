"""What every publisher is: it takes what happened, and never makes its caller wait.

::

    start() ──▶ publish_…() from any thread ──▶ stop(timeout_s)

What is published before ``start`` or after ``stop`` is lost; what is published between them is
the publisher's to deliver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from heimdall_edge.publish.outbox import OutboxState
from heimdall_edge.publish.payload_station import InfoPayload, StatsPayload
from heimdall_edge.types import Fix, Observation, ReceiverStatus


@dataclass(frozen=True, slots=True)
class PublisherState:
    """A publisher at one moment."""

    is_connected: bool
    in_flight: int = 0
    """Messages that the broker has, and has not acknowledged."""
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    """Kind → messages that the broker took."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Reason → refusals by the broker, or before it; what is kept and tried again counts again."""
    inbox_dropped: int = 0
    """Messages given up because the disk did not keep up."""
    last_ack_monotonic_s: float | None = None
    last_error: str | None = None
    """Why the connection ended, or could not be made; ``None`` while it stands."""
    outbox: OutboxState | None = None


class Publisher(Protocol):
    """Where fixes and all else go out."""

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> None:
        """Send what can be sent in that time, then end; what is left stays in the outbox."""
        ...

    def publish_fix(self, fix: Fix) -> None: ...

    def publish_observation(self, observation: Observation) -> None: ...

    def publish_info(self, info: InfoPayload) -> None: ...

    def publish_receiver(self, status: ReceiverStatus) -> None: ...

    def publish_stats(self, stats: StatsPayload) -> None: ...

    @property
    def progress_monotonic_s(self) -> float:
        """When the publisher last turned: what a watchdog may be fed by."""
        ...

    @property
    def state(self) -> PublisherState: ...
