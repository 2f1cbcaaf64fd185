"""A receiver as the pipeline runs it: what makes its source, and what works on its samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from heimdall_edge.evidence.tape import Tape
from heimdall_edge.shedding import Shedding
from heimdall_edge.signal.chain import Chain
from heimdall_edge.sources.base import IQSource, ObservationSource
from heimdall_edge.types import IQBlock


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What a worker does with samples, and what of it to give up when it cannot keep pace."""

    chain: Chain
    shedding: Shedding


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """One receiver."""

    receiver_id: str
    make_source: Callable[[], IQSource | ObservationSource]
    """A source lives once: each attempt gets a new one."""
    may_wait: bool
    """Whether the worker may take its time: a file, no radio."""
    build_work: Callable[[], Work] | None
    """``None`` for a source of finished observations."""
    longest_pause_s: float = 60.0
    """Between two attempts to open it."""
    calibrate: Callable[[IQBlock], IQBlock] = lambda block: block
    """Says what a block's levels mean."""
    tape: Tape | None = None
    """Keeps what was heard; ``None`` where nothing is to be kept."""

    @property
    def is_radio(self) -> bool:
        """Whether samples must come from it, and in time."""
        return self.build_work is not None and not self.may_wait
