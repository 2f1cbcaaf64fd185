"""A dongle behind ``rtl_tcp``: one client at a time, commands without an answer, bare samples.

::

    open()   connect ─▶ header ─▶ rate, centre, ppm, AGC off, gain, … ─▶ 100 ms thrown away
    blocks() bytes ─▶ SampleClock: count, stamp, silent losses ─▶ IQBlock
    tune()   centre ─▶ a round trip and 100 ms thrown away

The server drops whole buffers when the way to us is too slow, and says nothing of it: the sample
clock finds them. It does not say either whether it followed a command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from heimdall_edge import journal
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.block_size import block_samples
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.missing import Missing, Settling
from heimdall_edge.sources.name_lookup import Resolve, resolve
from heimdall_edge.sources.rate_watch import RateWatch
from heimdall_edge.sources.rtl2832 import SETTLE_S, rate_problem, real_rate_hz
from heimdall_edge.sources.rtl_tcp_protocol import (
    HEADER_BYTES,
    LARGEST_PARAMETER,
    WRONG_SERVER_PAUSE_S,
    Dongle,
    Operation,
    command,
    parse_header,
    refuse_extended,
)
from heimdall_edge.sources.rtl_tcp_setup import Setup
from heimdall_edge.sources.sample_clock import SampleClock
from heimdall_edge.sources.tcp import ClosedHereError, TcpConnection, named
from heimdall_edge.types import IQBlock, frozen_array

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("rtl_tcp")

CONNECT_TIMEOUT_S, SEND_TIMEOUT_S = 10.0, 5.0
HEADER_TIMEOUT_S = 10.0
"""A server that has just lost a client takes some seconds until it takes the next."""
STALL_S = 5.0
"""A block that is not there after so long: the server stalls, or the way is far too slow."""
BUSY_PAUSE_S = 15.0


class RtlTcpSource(Live):
    """An :class:`~heimdall_edge.sources.base.IQSource`, and ``Tunable``.

    Parameters
    ----------
    receiver
        Of kind ``rtl_tcp``.
    host
        The host's clocks.
    resolve
        Looks names up.
    connect_timeout_s, header_timeout_s, stall_s
        How long to wait for the connection, for the header, and for each block.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        host: HostTime | None = None,
        resolve: Resolve = resolve,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        header_timeout_s: float = HEADER_TIMEOUT_S,
        stall_s: float = STALL_S,
    ) -> None:
        assert receiver.rtl_tcp is not None
        assert receiver.sample_rate_hz is not None
        self._receiver, self._settings = receiver, receiver.rtl_tcp
        self._host = host or SystemTime()
        self._link = TcpConnection(
            host=self._settings.host,
            port=self._settings.port,
            who=f"{receiver.id}: rtl_tcp",
            resolve=resolve,
        )
        self._connect_timeout_s, self._header_timeout_s = connect_timeout_s, header_timeout_s
        self._stall_s = stall_s
        self._asked_rate_hz = round(receiver.sample_rate_hz)
        self._block_samples = block_samples(self._asked_rate_hz)
        self._center_freq_hz = round(receiver.centers_hz[0])
        self._gain_db: float | None = None
        self._missing = Missing()
        scan_settle_s = receiver.scan.settle_s if receiver.scan else 0.0
        self._settling = Settling(max(SETTLE_S, scan_settle_s))
        self._device: str | None = None

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> RtlTcpSource:
        """The source of a ``[[receivers]]`` table, read with this host's clocks."""
        return cls(receiver=receiver, host=around.host)

    @property
    def device(self) -> str | None:
        return self._device

    def open(self) -> None:
        self._check_rate()
        self._parameter(self._center_freq_hz)
        self._link.connect(self._connect_timeout_s)
        dongle = self._read_header()
        self._began_ns = self._read_until_ns = self._host.monotonic_ns()
        self._set_up(dongle)
        self._sample_rate_hz = real_rate_hz(self._asked_rate_hz)
        self._takes_commands = dongle.takes_commands
        self._watch = RateWatch(
            sample_rate_hz=self._sample_rate_hz, began_monotonic_ns=self._began_ns
        )
        self._settle()
        self._device = self._described(dongle)

    def blocks(self) -> Iterator[IQBlock]:
        if self._device is None:
            raise SourceError(f"{self._link.name}: is not open")
        try:
            yield from self._blocks()
        except ClosedHereError:
            return

    def tune(self, center_freq_hz: float) -> None:
        """Tune to another centre, to the next whole hertz; see ``Tunable``."""
        center_hz = self._parameter(round(center_freq_hz))
        if center_hz == self._center_freq_hz:
            return
        self._link.send(command(Operation.CENTER_FREQ, center_hz), SEND_TIMEOUT_S)
        self._center_freq_hz = center_hz
        self._settle()

    def close(self) -> None:
        self._link.close()

    # ── setting it up ─────────────────────────────────────────────────────────────────────

    def _check_rate(self) -> None:
        if problem := rate_problem(self._asked_rate_hz):
            raise SourceDataError(f"{self._link.name}: {problem}")

    def _parameter(self, center_hz: int) -> int:
        if not 0 < center_hz <= LARGEST_PARAMETER:
            raise SourceDataError(
                f"{self._link.name}: centre {center_hz} Hz: expected 1…{LARGEST_PARAMETER} Hz"
            )
        return center_hz

    def _read_header(self) -> Dongle:
        header = bytearray(HEADER_BYTES)
        n_bytes = self._link.fill(memoryview(header), self._header_timeout_s)
        if n_bytes == 0:
            raise SourceError(
                f"{self._link.name}: busy: it took the connection and sent no header in "
                f"{self._header_timeout_s:g} s, as it does while another client has the dongle",
                pause_s=BUSY_PAUSE_S,
            )
        with named(self._link.name):
            return parse_header(bytes(header[:n_bytes]))

    def _set_up(self, dongle: Dongle) -> None:
        """Say everything at once; nothing is answered."""
        setup = Setup.of(
            self._receiver,
            dongle,
            sample_rate_hz=self._asked_rate_hz,
            center_freq_hz=self._center_freq_hz,
        )
        self._link.send(setup.data, SEND_TIMEOUT_S)
        self._gain_db = setup.gain_db
        self._warn(dongle)

    def _warn(self, dongle: Dongle) -> None:
        if self._receiver.agc:
            reason = "agc = true: its levels say nothing of distance, and are not used"
            log.warning("gain_is_automatic", receiver=self._receiver.id, reason=reason)
        if not dongle.takes_commands:
            reason = "the server has no gain steps: it may follow no command, nor this centre"
            log.warning("server_may_not_obey", receiver=self._receiver.id, reason=reason)

    def _described(self, dongle: Dongle) -> str:
        gain = "automatic gain" if self._receiver.agc else "gain unknown"
        if self._gain_db is not None:
            gain = f"gain {self._gain_db:.1f} dB"
        place = self._link.name.partition(": ")[2]
        return f"{dongle.tuner}, {place}, {gain}, {self._sample_rate_hz / 1e6:g} Msps"

    def _settle(self) -> None:
        self._settling.begin(
            self._host.monotonic_ns(),
            sample_rate_hz=self._sample_rate_hz,
            round_trip_s=self._link.round_trip_s,
        )

    # ── reading it ────────────────────────────────────────────────────────────────────────

    def _blocks(self) -> Iterator[IQBlock]:
        clock, before = None, 0
        is_first = True
        while True:
            samples, began_ns = self._read_samples()
            if is_first:
                with named(self._link.name):
                    refuse_extended(samples)
                is_first = False
            n_samples = len(samples) // 2
            spoilt = self._settling.spoils(n_samples, began_ns)
            if clock is None and spoilt:  # of the rate before ours: they tell no time
                before += n_samples
                self._missing.discarded_samples += n_samples
                continue
            if clock is None:
                clock = SampleClock(sample_rate_hz=self._sample_rate_hz, host=self._host)
            arrival = clock.arrived(n_samples, self._read_until_ns)
            self._missing.lost_samples += arrival.lost_samples
            if spoilt:
                self._missing.discarded_samples += n_samples
                continue
            missing = self._missing.take()
            yield IQBlock(
                samples=frozen_array(np.frombuffer(samples, np.uint8)),
                datatype="cu8",
                sample_rate_hz=self._sample_rate_hz,
                center_freq_hz=float(self._center_freq_hz),
                sample_start=before + arrival.sample_start,
                start_utc_ns=arrival.start_utc_ns,
                lost_samples=missing.lost_samples,
                discarded_samples=missing.discarded_samples,
                clock=arrival.clock,
                gain_db=self._gain_db,
                frequency_error=arrival.frequency_error,
            )

    def _read_samples(self) -> tuple[bytearray, int]:
        """A block's bytes, and when it began to come: an odd byte stays with its other half."""
        began_ns = self._read_until_ns
        buffer = bytearray(2 * self._block_samples)
        n_bytes = self._link.fill(memoryview(buffer), self._stall_s)
        if n_bytes < len(buffer):
            raise SourceError(
                f"{self._link.name}: {n_bytes} bytes in {self._stall_s:g} s, "
                f"expected {len(buffer)} and more: the server stalls, or the way is too slow"
            )
        self._read_until_ns = self._host.monotonic_ns()
        self._watch.note(self._block_samples, self._read_until_ns)
        self._check_watch()
        return buffer, began_ns

    def _check_watch(self) -> None:
        """A rate that was not followed would make each frequency and time wrong."""
        slow_hz = self._watch.slow_hz
        if self._watch.is_too_fast or (slow_hz is not None and not self._takes_commands):
            raise SourceError(
                f"{self._link.name}: gives {self._watch.measured_hz:.0f} samples/s, "
                f"asked for {self._asked_rate_hz}: it does not follow commands",
                pause_s=WRONG_SERVER_PAUSE_S,
            )
        if slow_hz is not None:
            log.warning(
                "too_few_samples",
                receiver=self._receiver.id,
                received_hz=round(slow_hz),
                expected_hz=self._asked_rate_hz,
                reason="the way from the server is too slow: samples come late, and are lost",
            )
