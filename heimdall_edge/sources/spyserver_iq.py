"""What a SpyServer's IQ packets become: counted by their sequence, joined into blocks.

::

    packet ─▶ PacketCount ─▶ lost before it
       └────▶ Run ─ full, or a gap, another format, another digital gain follows ─▶ samples
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.missing import Missing
from heimdall_edge.sources.sample_clock import Arrival
from heimdall_edge.sources.spyserver_protocol import IqFormat
from heimdall_edge.types import frozen_array

SEQUENCE_SPAN = 2**32
LATEST = 64
MOST_LOST_S = 60.0
"""A longer jump of the sequence is taken as a new beginning: time tells what is lost."""
S24_FULL_SCALE = 2.0**31
"""Of a 24 bit number in the upper three bytes of four."""


@dataclass(frozen=True, slots=True)
class Step:
    """How an IQ packet follows the one before."""

    lost_samples: int = 0
    began_anew: bool = False
    """The sequence went back, or far ahead: it does not say what is missing."""


class PacketCount:
    """Finds lost packets by their sequence numbers.

    A number says that a packet is missing, and not how long it was: each missing one counts as the
    mean of the latest :data:`LATEST`. Servers that send packets of one length, as they are seen to
    do, make that exact.
    """

    def __init__(self, *, sample_rate_hz: float) -> None:
        self._most_lost = MOST_LOST_S * sample_rate_hz
        self._sequence: int | None = None
        self._latest: deque[int] = deque(maxlen=LATEST)

    def follow(self, sequence: int, n_samples: int) -> Step:
        """Take the next packet."""
        self._latest.append(n_samples)
        step = self._step(sequence)
        self._sequence = sequence
        return step

    def _step(self, sequence: int) -> Step:
        if self._sequence is None:
            return Step()
        n_missing = (sequence - self._sequence - 1) % SEQUENCE_SPAN
        lost_samples = n_missing * sum(self._latest) // len(self._latest)
        if n_missing > SEQUENCE_SPAN // 2 or lost_samples > self._most_lost:
            return Step(began_anew=True)
        return Step(lost_samples)


@dataclass(slots=True)
class Run:
    """Packets without a gap between them, alike in what follows: a block in the making."""

    iq_format: IqFormat
    digital_gain_db: int
    center_freq_hz: int
    arrival: Arrival
    """Of its first packet."""
    missing: Missing
    """Before its first packet."""
    n_samples: int = 0
    parts: list[bytes] = field(default_factory=list)

    def fits(self, iq_format: IqFormat, digital_gain_db: int) -> bool:
        """Whether a packet may follow."""
        return iq_format == self.iq_format and digital_gain_db == self.digital_gain_db

    def add(self, body: bytes) -> None:
        self.parts.append(body)
        self.n_samples += len(body) // self.iq_format.sample_bytes

    @property
    def samples(self) -> NDArray[Any]:
        """Interleaved I, Q; [2 * n_samples]; see :func:`samples_of`."""
        return samples_of(b"".join(self.parts), self.iq_format)


def count_samples(body: bytes, iq_format: IqFormat) -> int:
    """How many samples a packet's body holds.

    Raises
    ------
    SourceError
        They are not whole.
    """
    n_samples, rest = divmod(len(body), iq_format.sample_bytes)
    if rest:
        raise SourceError(
            f"{len(body)} bytes of {iq_format.name} samples, expected a multiple of "
            f"{iq_format.sample_bytes}: its framing is lost"
        )
    return n_samples


def samples_of(body: bytes, iq_format: IqFormat) -> NDArray[Any]:
    """Interleaved I, Q as the server wrote them; 24 bit ones as the float32 of the same value.

    Parameters
    ----------
    body
        Whole samples, see :func:`count_samples`.

    Raises
    ------
    SourceError
        They are float32 that are no numbers.
    """
    if iq_format.name == "u8":
        return np.frombuffer(body, np.uint8)
    if iq_format.name == "s16":
        return np.frombuffer(body, "<i2")
    if iq_format.name == "s24":
        return _from_s24(body)
    samples = np.frombuffer(body, "<f4")
    if not np.isfinite(samples).all():
        raise SourceError("float samples that are no numbers: its framing is lost")
    return samples


def _from_s24(body: bytes) -> NDArray[Any]:
    wide = np.zeros((len(body) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
    scaled = wide.view("<i4")[:, 0].astype("<f4") / np.float32(S24_FULL_SCALE)
    return frozen_array(scaled)
