"""Opens the receivers, listens for a while, and says what was found.

Every receiver has a thread of its own, all at the same time: what a host cannot do at once, it
cannot do as a daemon either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heimdall_edge.assembly import receiver_info, surroundings_of
from heimdall_edge.config import Config
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import BurstError, ConfigError, SourceError
from heimdall_edge.sources import SharedByReceivers, source_of
from heimdall_edge.sources.base import IQSource
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.survey.meter import Measured, Meter
from heimdall_edge.types import IQBlock, ReceiverInfo

GRACE_S = 20.0
"""For opening, and for a receiver that is slower than its own rate."""
CLOSE_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """What became of one receiver."""

    receiver: Receiver
    info: ReceiverInfo
    device: str | None
    measured: tuple[Measured, ...]
    """One a centre; none where nothing came."""
    problem: str | None


@dataclass(slots=True, eq=False)
class _Listener:
    """Reads one receiver on a thread, into a meter for each centre that it says it is on."""

    config: Config
    receiver: Receiver
    source: IQSource
    seconds: float
    monotonic_ns: Callable[[], int]
    meters: list[Meter] = field(default_factory=list)
    device: str | None = None
    problem: str | None = None

    def run(self) -> None:
        try:
            self.source.open()
            self.device = self.source.device
            self._read()
        except SourceError as error:
            self.problem = str(error)
        finally:
            self.source.close()

    def _read(self) -> None:
        first_index = None
        for block in self.source.blocks():
            first_index = block.sample_start if first_index is None else first_index
            self._feed(block)
            reached = block.sample_start + block.n_samples - first_index
            if reached >= self.seconds * block.sample_rate_hz:
                return

    def _feed(self, block: IQBlock) -> None:
        meter = next((m for m in self.meters if m.accepts(block)), None)
        if meter is None:
            meter = Meter(
                block,
                receiver=receiver_info(self.config, self.receiver),
                channels=self.config.channels_of(self.receiver),
                gain_db=self.receiver.gain_db,
            )
            self.meters.append(meter)
        try:
            meter.feed(block, arrived_monotonic_ns=self.monotonic_ns())
        except BurstError as error:
            self.problem = str(error)

    def surveyed(self) -> Surveyed:
        problem = self.problem
        if not self.meters and problem is None:
            problem = "no samples came"
        return Surveyed(
            receiver=self.receiver,
            info=receiver_info(self.config, self.receiver),
            device=self.device,
            measured=tuple(meter.result() for meter in self.meters),
            problem=problem,
        )


def survey(
    config: Config,
    *,
    seconds: float,
    receiver_id: str | None = None,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> list[Surveyed]:
    """Listen with every receiver that gives samples, or with one, for so many seconds.

    Ctrl-C ends it early; what was measured until then counts.

    Raises
    ------
    ConfigError
        There is no such receiver, or none that gives samples.
    """
    start_utc_ns = time.time_ns()
    simulation = config.simulation.model_copy(update={"truth_path": None})
    config = config.model_copy(update={"simulation": simulation})
    truth = TruthLog(simulation=simulation, start_utc_ns=start_utc_ns)
    shared = SharedByReceivers()
    listeners = []
    for receiver in _wanted(config, receiver_id):
        around = surroundings_of(
            config,
            receiver,
            start_utc_ns=start_utc_ns,
            truth=truth,
            on_refused=lambda _line, _error: None,  # of lines, which a source of samples has none
            shared=shared,
        )
        source = source_of(receiver, around)
        assert isinstance(source, IQSource)
        listeners.append(_Listener(config, receiver, source, seconds, monotonic_ns))
    _listen(listeners, seconds)
    return [listener.surveyed() for listener in listeners]


def _wanted(config: Config, receiver_id: str | None) -> list[Receiver]:
    by_id = {receiver.id: receiver for receiver in config.receivers}
    if receiver_id is not None:
        if receiver_id not in by_id:
            known = ", ".join(by_id) or "none"
            raise ConfigError(f"no receiver has the id {receiver_id!r}; expected one of: {known}")
        if not by_id[receiver_id].gives_iq:
            raise ConfigError(f"receiver {receiver_id!r} gives levels only: nothing to survey")
        return [by_id[receiver_id]]
    wanted = [r for r in config.receivers if r.enabled and r.gives_iq]
    if not wanted:
        raise ConfigError("nothing to survey: expected a receiver that gives samples")
    return wanted


def _listen(listeners: Sequence[_Listener], seconds: float) -> None:
    """Run them all; who does not come to an end is closed."""
    threads = [
        threading.Thread(target=listener.run, name=f"survey-{listener.receiver.id}")
        for listener in listeners
    ]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + seconds + GRACE_S
    try:
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
    except KeyboardInterrupt:  # seen enough
        pass
    finally:
        for listener in listeners:
            listener.source.close()
        for thread in threads:
            thread.join(CLOSE_S)
