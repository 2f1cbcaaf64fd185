"""Where samples and observations come from: one file a kind, one protocol, one table of kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from heimdall_edge.config import Channel
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.config_simulation import Simulation
from heimdall_edge.errors import PayloadError
from heimdall_edge.sources.base import IQSource, ObservationSource
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.observations import ObservationFileSource
from heimdall_edge.sources.recording import RecordingSource
from heimdall_edge.sources.simulated import SimulatedSource
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import Observation, ReceiverInfo

Source = IQSource | ObservationSource


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a source may need beside its own configuration."""

    info: ReceiverInfo
    """Who hears; travels with each observation."""
    channels: tuple[Channel, ...]
    """What it watches."""
    simulation: Simulation
    start_utc_ns: int
    """When the simulation began: the same for all receivers."""
    truth: TruthLog
    """The simulation's truth file, which all its receivers share."""
    parse: Callable[[bytes], Observation]
    """Reads a line of the published format."""
    on_refused: Callable[[int, PayloadError], object]
    """Told of each line that is not of that format."""
    host: HostTime = field(default_factory=SystemTime)
    """The host's clocks; one for all receivers."""


def source_of(receiver: Receiver, around: Surroundings) -> Source:
    """The source that a receiver's configuration asks for, not yet open."""
    return SOURCES[receiver.kind](receiver, around)


def _recording(receiver: Receiver, _around: Surroundings) -> Source:
    return RecordingSource.from_config(receiver)


def _simulated(receiver: Receiver, around: Surroundings) -> Source:
    return SimulatedSource(
        receiver=receiver,
        place=around.info.place,
        simulation=around.simulation,
        start_utc_ns=around.start_utc_ns,
        truth=around.truth,
    )


def _observations(receiver: Receiver, around: Surroundings) -> Source:
    assert receiver.observations is not None
    return ObservationFileSource(
        path=receiver.observations.path,
        pace=receiver.observations.pace,
        parse=around.parse,
        on_refused=around.on_refused,
    )


SOURCES: dict[str, Callable[[Receiver, Surroundings], Source]] = {
    "recording": _recording,
    "simulated": _simulated,
    "observations": _observations,
}
"""Kind → what makes its source; :class:`~heimdall_edge.config.Receiver` names the same kinds."""
