"""What to say to an rtl_tcp server before the first sample is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.rtl2832 import nearest_gain_db
from heimdall_edge.sources.rtl_tcp_protocol import Dongle, Operation, command

DIRECT_SAMPLING = {"off": 0, "i": 1, "q": 2}


@dataclass(frozen=True, slots=True)
class Setup:
    """The commands, and the gain that they bring about."""

    words: tuple[tuple[Operation, int], ...]
    """(operation, parameter) in the order in which servers want them."""
    gain_db: float | None
    """The step in force; ``None`` where it is automatic, or the server's steps are not known."""

    @classmethod
    def of(
        cls, receiver: Receiver, dongle: Dongle, *, sample_rate_hz: int, center_freq_hz: int
    ) -> Setup:
        """What a ``[[receivers]]`` table asks of this dongle, and nothing beyond it.

        Forks give some commands another meaning: those go only where the table names them.
        """
        gain_db = None
        if receiver.gain_db is not None:
            gain_db = nearest_gain_db(receiver.gain_db, dongle.gain_steps_tenth_db)
        words = [
            (Operation.SAMPLE_RATE, sample_rate_hz),
            (Operation.CENTER_FREQ, center_freq_hz),
            *_always(receiver),
        ]
        if receiver.gain_db is not None:
            asked_db = receiver.gain_db if gain_db is None else gain_db
            words.append((Operation.TUNER_GAIN, round(10 * asked_db)))
        return cls((*words, *_where_named(receiver)), gain_db)

    @property
    def data(self) -> bytes:
        return b"".join(command(operation, parameter) for operation, parameter in self.words)


def _always(receiver: Receiver) -> Iterator[tuple[Operation, int]]:
    assert receiver.rtl_tcp is not None
    yield Operation.PPM, receiver.rtl_tcp.ppm
    yield Operation.DIGITAL_AGC, 0
    yield Operation.GAIN_MODE, 0 if receiver.agc else 1


def _where_named(receiver: Receiver) -> Iterator[tuple[Operation, int]]:
    settings = receiver.rtl_tcp
    assert settings is not None
    if settings.direct_sampling != "off":
        yield Operation.DIRECT_SAMPLING, DIRECT_SAMPLING[settings.direct_sampling]
    if settings.offset_tuning:
        yield Operation.OFFSET_TUNING, 1
    if settings.bandwidth_hz is not None:
        yield Operation.BANDWIDTH, round(settings.bandwidth_hz)
    if settings.bias_tee is not None:
        yield Operation.BIAS_TEE, int(settings.bias_tee)
