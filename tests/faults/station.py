"""A station in this process: the receiver under trial, and two that must not notice anything."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from heimdall_edge import reader
from heimdall_edge.back_off import BackOff
from heimdall_edge.config import Config
from heimdall_edge.config_file import parse_config
from heimdall_edge.locate.model import LocatorModel, reference_model_path
from heimdall_edge.metrics import Metrics
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.types import ReceiverState, ReceiverStatus

TRIED = "tried"
WITNESSES = ("witness-1", "witness-2")
WITNESS_RATE_HZ = 250_000.0
LONGEST_PAUSE_S = 1.0
"""What back-off is cut to here: hours of politeness are noted, and not waited for."""
HASTE = 1e6
"""How much faster the pauses that volunteers' servers get go by."""
TURN_S = 0.1

STATION = """
station = {{ name = "trial", latitude_deg = 45.07, longitude_deg = 7.69 }}
[[channels]]
name = "tried"
frequency_hz = {frequency_hz}
bandwidth_hz = {bandwidth_hz}
[[channels]]
name = "witness"
frequency_hz = 446.0e6
[[receivers]]
id = "witness-1"
kind = "simulated"
center_freq_hz = 446.05e6
sample_rate_hz = 250e3
gain_db = 20.0
channels = ["witness"]
[[receivers]]
id = "witness-2"
kind = "simulated"
center_freq_hz = 445.95e6
sample_rate_hz = 250e3
gain_db = 20.0
channels = ["witness"]
[[receivers]]
id = "tried"
channels = ["tried"]
{receiver}
[[simulation.transmitters]]
name = "base"
latitude_deg = 45.08
longitude_deg = 7.70
frequency_hz = 446.0e6
modulation = "cw"
on_s = 1.0
off_s = 1.0
"""


class RecordingPublisher:
    """Keeps each state that receivers were in, with its time."""

    def __init__(self) -> None:
        self.states: list[tuple[float, ReceiverStatus]] = []
        self.observations: list[Any] = []
        self.fixes: list[Any] = []

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> None: ...

    def publish_fix(self, fix: Any) -> None:
        self.fixes.append(fix)

    def publish_observation(self, observation: Any) -> None:
        self.observations.append(observation)

    def publish_info(self, info: Any) -> None: ...

    def publish_receiver(self, status: ReceiverStatus) -> None:
        self.states.append((time.monotonic(), status))

    def publish_stats(self, stats: Any) -> None: ...

    @property
    def progress_monotonic_s(self) -> float:
        return time.monotonic()

    @property
    def state(self) -> PublisherState:
        return PublisherState(is_connected=True)


class PoliteBackOff(BackOff):
    """Notes how long a pause was asked for, and waits for a second at most."""

    asked_s = 0.0

    def pause_s(self, *, at_least_s: float = 0.0) -> float:
        pause_s = super().pause_s(at_least_s=at_least_s)
        PoliteBackOff.asked_s = max(PoliteBackOff.asked_s, at_least_s)
        return min(pause_s, LONGEST_PAUSE_S)


class Station:
    """A pipeline with three receivers; a context manager.

    Parameters
    ----------
    receiver
        The rest of the tried receiver's TOML table, from its ``kind`` on.
    frequency_hz, bandwidth_hz
        The channel that it watches.
    host
        Its host's clocks; the real ones when left out.
    """

    def __init__(
        self,
        receiver: str,
        *,
        frequency_hz: float = 446.1e6,
        bandwidth_hz: float = 12_500.0,
        host: HostTime | None = None,
    ) -> None:
        self.config: Config = parse_config(
            STATION.format(receiver=receiver, frequency_hz=frequency_hz, bandwidth_hz=bandwidth_hz)
        )
        self.publisher = RecordingPublisher()
        self.metrics = Metrics()
        model = LocatorModel.load(reference_model_path(), sha256=None)
        self._pipeline = Pipeline(
            config=self.config,
            model=model,
            reference=model,
            publisher=self.publisher,  # type: ignore[arg-type]
            metrics=self.metrics,
            host=host,
            servers=PublicServers(monotonic_s=lambda: HASTE * time.monotonic()),
        )
        self._ended = threading.Event()
        self._turning = threading.Thread(target=self._turn, name="turn")

    def __enter__(self) -> Self:
        self._back_off, reader.BackOff = reader.BackOff, PoliteBackOff
        PoliteBackOff.asked_s = 0.0
        self._pipeline.start()
        self._turning.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._turning.join()
        late = self._pipeline.stop(time.monotonic() + 10.0)
        reader.BackOff = self._back_off
        assert not late, f"threads that would not end: {late}"

    def _turn(self) -> None:
        """What the daemon's main thread does a few times a second."""
        while not self._ended.wait(TURN_S):
            self._pipeline.look()

    # ── what is seen of it ────────────────────────────────────────────────────────────────

    @property
    def asked_pause_s(self) -> float:
        """The longest pause that the receiver's source asked for."""
        return PoliteBackOff.asked_s

    @property
    def tried(self) -> ReceiverStatus:
        return self._status(TRIED)

    def _status(self, receiver_id: str) -> ReceiverStatus:
        return next(s for s in self._pipeline.statuses() if s.receiver_id == receiver_id)

    def newest_utc_ns(self) -> int:
        """Start of the newest samples that the tried receiver gave."""
        threads = next(r for r in self._pipeline.receivers if r.receiver_id == TRIED)
        block = threads.newest_block
        return 0 if block is None else block.start_utc_ns

    def others_lost(self) -> int:
        """Samples that the witnesses lost or dropped, and failures that they had."""
        statuses = [self._status(name) for name in WITNESSES]
        assert all(status.state is ReceiverState.RUNNING for status in statuses), statuses
        return sum(status.count.lost + status.count.dropped for status in statuses)

    def wait_running(self, *, within_s: float) -> float:
        """Wait until the tried receiver runs and gives something; how long that took."""
        began_s = time.monotonic()
        before = self.tried.count.received
        gives_samples = next(r for r in self.config.receivers if r.id == TRIED).gives_iq

        def runs() -> bool:
            status = self.tried
            is_running = status.state is ReceiverState.RUNNING
            return is_running and (not gives_samples or status.count.received > before)

        self.wait_for(runs, within_s=within_s, what="to run")
        return time.monotonic() - began_s

    def wait_trouble(self, says: str, *, within_s: float) -> str:
        """Wait until the receiver says what is wrong, as the pattern has it; what it says."""
        seen = len(self.publisher.states)
        pattern = re.compile(says)

        def reasons() -> list[str]:
            return [
                f"{s.state}: {s.reason}"
                for _, s in self.publisher.states
                if s.receiver_id == TRIED and s.reason
            ]

        self.wait_for(
            lambda: any(pattern.search(reason) for reason in reasons()),
            within_s=within_s,
            what=f"to say {says!r}, but it said {reasons()[-5:]} (of {seen})",
        )
        return next(reason for reason in reversed(reasons()) if pattern.search(reason))

    def wait_for(self, holds: Callable[[], bool], *, within_s: float, what: str) -> None:
        end_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end_s:
                raise TimeoutError(
                    f"waited {within_s:.0f} s for it {what}; it is {self.tried.state}: "
                    f"{self.tried.reason}"
                )
            time.sleep(0.02)
