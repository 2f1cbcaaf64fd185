"""One fault: how it comes about, how it is taken away, and what the receiver must say of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from heimdall_edge.types import SampleCount

from .station import Station

SETTLE_S = 1.0
"""How long it runs before and after."""


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    ``peer`` makes what the receiver talks to (an emulator, entered and left around the trial),
    ``station`` the station that listens to it.
    """

    kind: str
    name: str
    peer: Callable[[], AbstractContextManager[Any]]
    station: Callable[[Any], Station]
    inject: Callable[[Any, Station], object]
    clear: Callable[[Any, Station], object]
    says: str | None
    """Pattern of the reason that the state must give; ``None``: it goes on, and only counts."""
    from_start: bool = False
    """The fault is there before the receiver is opened for the first time."""
    loses: bool = False
    """Samples must be counted as lost."""
    within_s: float = 20.0


class Kind:
    """Makes the faults of one kind of receiver, which share a peer, a station, and a remedy."""

    def __init__(
        self,
        name: str,
        *,
        peer: Callable[[], AbstractContextManager[Any]],
        station: Callable[[Any], Station],
        clear: Callable[[Any], object] = lambda _peer: None,
    ) -> None:
        self._name, self._peer, self._station = name, peer, station
        self._clear = clear

    def fault(
        self,
        name: str,
        inject: Callable[[Any], object],
        clear: Callable[[Any], object] | None = None,
        *,
        peer: Callable[[], AbstractContextManager[Any]] | None = None,
        station: Callable[[Any], Station] | None = None,
        **more: Any,
    ) -> Fault:
        """A fault that is done to the peer, and taken back there."""
        return Fault(
            kind=self._name,
            name=name,
            peer=peer or self._peer,
            station=station or self._station,
            inject=lambda peer, _station: inject(peer),
            clear=lambda peer, _station: (clear or self._clear)(peer),
            **more,
        )


def set_attribute(name: str, value: object) -> Callable[[Any], None]:
    """Set one of a peer's controls."""
    return lambda peer: setattr(peer, name, value)


@dataclass(frozen=True)
class Outcome:
    """What one trial showed."""

    recovery_s: float
    count: SampleCount
    others_lost: int
    said: str
    asked_pause_s: float


def play(fault: Fault) -> Outcome:
    """One trial; raises where the receiver does not do what it must."""
    with fault.peer() as peer:
        if fault.from_start:
            fault.inject(peer, None)  # type: ignore[arg-type]
        with fault.station(peer) as station:
            if not fault.from_start:
                station.wait_running(within_s=fault.within_s)
                time.sleep(SETTLE_S)
                fault.inject(peer, station)
            said = station.wait_trouble(fault.says, within_s=fault.within_s) if fault.says else ""
            if fault.loses and not fault.says:
                station.wait_for(
                    lambda: station.tried.count.lost > 0,
                    within_s=fault.within_s,
                    what="to count a loss",
                )
            fault.clear(peer, station)
            recovery_s = station.wait_running(within_s=fault.within_s)
            time.sleep(SETTLE_S)
            return Outcome(
                recovery_s,
                station.tried.count,
                station.others_lost(),
                said,
                station.asked_pause_s,
            )
