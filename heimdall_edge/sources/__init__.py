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
from heimdall_edge.sources.kiwisdr import KiwiSource
from heimdall_edge.sources.observations import ObservationFileSource
from heimdall_edge.sources.openwebrx import OpenWebRxSource
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.recording import RecordingSource
from heimdall_edge.sources.rtl_tcp import RtlTcpSource
from heimdall_edge.sources.rtlsdr import RtlSdrSource
from heimdall_edge.sources.scan import ScanSource
from heimdall_edge.sources.simulated import SimulatedSource
from heimdall_edge.sources.soapy import SoapyDevices, SoapySource
from heimdall_edge.sources.spyserver import SpyServerSource
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.sources.websdr import WebSdrSource
from heimdall_edge.types import Observation, ReceiverInfo

Source = IQSource | ObservationSource


@dataclass(frozen=True, slots=True, eq=False)
class SharedByReceivers:
    """What there is once a station."""

    host: HostTime = field(default_factory=SystemTime)
    """The host's clocks."""
    servers: PublicServers = field(default_factory=PublicServers)
    """Which volunteers' servers are in use, or want peace."""
    soapy: SoapyDevices = field(default_factory=SoapyDevices)
    """The SoapySDR devices, which several receivers may share."""


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
    shared: SharedByReceivers = field(default_factory=SharedByReceivers)

    @property
    def host(self) -> HostTime:
        return self.shared.host

    @property
    def servers(self) -> PublicServers:
        return self.shared.servers

    @property
    def soapy(self) -> SoapyDevices:
        return self.shared.soapy


def source_of(receiver: Receiver, around: Surroundings) -> Source:
    """The source that a receiver's configuration asks for, not yet open.

    One that scans is made as if it stood on the first centre; what hops is wrapped round it.
    """
    if receiver.scan is None:
        return SOURCES[receiver.kind](receiver, around)
    first = {"scan": None, "center_freq_hz": receiver.scan.centers_hz[0]}
    inner = SOURCES[receiver.kind](receiver.model_copy(update=first), around)
    assert isinstance(inner, IQSource), "a kind that gives no samples cannot scan"
    return ScanSource.of(inner, receiver.scan)


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


def _rtlsdr(receiver: Receiver, around: Surroundings) -> Source:
    return RtlSdrSource.from_config(receiver, around.host)


def _observations(receiver: Receiver, around: Surroundings) -> Source:
    assert receiver.observations is not None
    return ObservationFileSource(
        path=receiver.observations.path,
        pace=receiver.observations.pace,
        parse=around.parse,
        on_refused=around.on_refused,
    )


SOURCES: dict[str, Callable[[Receiver, Surroundings], Source]] = {
    "rtlsdr": _rtlsdr,
    "soapy": SoapySource.from_config,
    "rtl_tcp": RtlTcpSource.from_config,
    "spyserver": SpyServerSource.from_config,
    "kiwisdr": KiwiSource.from_config,
    "openwebrx": OpenWebRxSource.from_config,
    "websdr": WebSdrSource.from_config,
    "recording": _recording,
    "simulated": _simulated,
    "observations": _observations,
}
"""Kind → what makes its source; :class:`~heimdall_edge.config.Receiver` names the same kinds."""
