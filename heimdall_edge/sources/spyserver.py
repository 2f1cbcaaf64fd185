"""A SpyServer: a radio that a volunteer shares, where others may move the device.

::

    open()   connect ─▶ HELLO ─▶ DEVICE_INFO, CLIENT_SYNC ─▶ format, stage, centre, gain, enable
    blocks() IQ ─────────────────▶ SpyStream ─▶ IQBlock
             CLIENT_SYNC, PONG ──▶ SpyTuning: what is not surely of our centre is thrown away
    tune()   IQ centre ─▶ until the server has followed, and 100 ms, thrown away

Servers are other people's: refusals are left alone for minutes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from heimdall_edge import journal
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import Live
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.name_lookup import Resolve, resolve
from heimdall_edge.sources.rtl2832 import SETTLE_S
from heimdall_edge.sources.spyserver_choice import Choice, choose
from heimdall_edge.sources.spyserver_protocol import (
    ClientSync,
    DeviceInfo,
    Kind,
    parse_client_sync,
    parse_pong,
)
from heimdall_edge.sources.spyserver_session import (
    ENDED_PAUSE_S,
    REFUSED_PAUSE_S,
    Message,
    SpySession,
)
from heimdall_edge.sources.spyserver_stream import SpyStream
from heimdall_edge.sources.spyserver_tuning import SpyTuning
from heimdall_edge.sources.tcp import (
    ClosedHereError,
    PeerClosedError,
    TcpConnection,
    named,
)
from heimdall_edge.types import NS_PER_S, IQBlock

if TYPE_CHECKING:
    from heimdall_edge.sources import Surroundings

log = journal.logger("spyserver")

CONNECT_TIMEOUT_S, HELLO_TIMEOUT_S, STALL_S = 10.0, 5.0, 5.0


class SpyServerSource(Live):
    """An :class:`~heimdall_edge.sources.base.IQSource`, and ``Tunable``.

    Parameters
    ----------
    receiver
        Of kind ``spyserver``.
    host
        The host's clocks.
    resolve
        Looks names up.
    connect_timeout_s, hello_timeout_s, stall_s
        How long to wait for the connection, for its greeting, and for each block.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        host: HostTime | None = None,
        resolve: Resolve = resolve,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        hello_timeout_s: float = HELLO_TIMEOUT_S,
        stall_s: float = STALL_S,
    ) -> None:
        assert receiver.spyserver is not None
        assert receiver.sample_rate_hz is not None
        self._receiver, self._settings = receiver, receiver.spyserver
        self._asked_rate_hz = receiver.sample_rate_hz
        self._host = host or SystemTime()
        self._link = TcpConnection(
            host=self._settings.host,
            port=self._settings.port,
            who=f"{receiver.id}: SpyServer",
            resolve=resolve,
        )
        self._session = SpySession(self._link)
        self._connect_timeout_s, self._hello_timeout_s = connect_timeout_s, hello_timeout_s
        self._stall_s = stall_s
        self._tuning: SpyTuning | None = None
        self._stream: SpyStream | None = None
        self._device: str | None = None

    @classmethod
    def from_config(cls, receiver: Receiver, around: Surroundings) -> SpyServerSource:
        """The source of a ``[[receivers]]`` table, read with this host's clocks."""
        return cls(receiver=receiver, host=around.host)

    @property
    def device(self) -> str | None:
        return self._device

    def open(self) -> None:
        self._link.connect(self._connect_timeout_s)
        with named(self._link.name):
            info, sync = self._session.greet(self._hello_timeout_s)
            choice = choose(
                self._settings,
                sample_rate_hz=self._asked_rate_hz,
                info=info,
                sync=sync,
                receiver_id=self._receiver.id,
            )
            center_hz = round(self._receiver.centers_hz[0])
            self._tuning = SpyTuning(info=info, sync=sync, center_freq_hz=center_hz)
            question = self._tuning.ask(center_hz, self._host.monotonic_ns())
            self._session.send(choice.before_centre + question + choice.after_centre)
        self._stream = self._new_stream(choice)
        self._device = self._described(info, sync, choice)

    def blocks(self) -> Iterator[IQBlock]:
        if self._stream is None or self._tuning is None:
            raise SourceError(f"{self._link.name}: is not open")
        with contextlib.suppress(ClosedHereError), named(self._link.name):
            yield from self._blocks(self._stream, self._tuning)

    def tune(self, center_freq_hz: float) -> None:
        """Tune to another centre, to the next whole hertz; see ``Tunable``."""
        if self._stream is None or self._tuning is None:
            raise SourceError(f"{self._link.name}: is not open")
        center_hz = round(center_freq_hz)
        if center_hz == self._tuning.center_freq_hz:
            return
        with named(self._link.name):
            self._session.send(self._tuning.ask(center_hz, self._host.monotonic_ns()))
        self._stream.spoil()

    def close(self) -> None:
        self._link.close()

    def _new_stream(self, choice: Choice) -> SpyStream:
        scan_settle_s = self._receiver.scan.settle_s if self._receiver.scan else 0.0
        return SpyStream(
            receiver_id=self._receiver.id,
            sample_rate_hz=choice.sample_rate_hz,
            gain_db=self._receiver.gain_db,
            settle_s=max(SETTLE_S, scan_settle_s),
            host=self._host,
        )

    def _described(self, info: DeviceInfo, sync: ClientSync, choice: Choice) -> str:
        index = sync.gain_index if choice.gain_index is None else choice.gain_index
        place = self._link.name.partition(": ")[2]
        rate = f"{choice.sample_rate_hz / 1e6:g} Msps"
        return f"{info.name}, serial {info.serial:08X}, {place}, gain index {index}, {rate}"

    # ── reading it ────────────────────────────────────────────────────────────────────────

    def _blocks(self, stream: SpyStream, tuning: SpyTuning) -> Iterator[IQBlock]:
        until_ns = waits_since_ns = self._host.monotonic_ns()
        while True:
            began_ns, was_asking = until_ns, tuning.is_asking
            message = self._receive(stream)
            until_ns = self._host.monotonic_ns()
            question, block = b"", None
            if message.header.iq_format is None:
                question = self._hear(message, stream, tuning, until_ns)
            else:
                center_hz = None if was_asking else tuning.center_freq_hz
                block = stream.take(
                    message, began_ns=began_ns, now_ns=until_ns, center_freq_hz=center_hz
                )
            if question := question or tuning.heard_nothing(until_ns):
                self._session.send(question)
                stream.spoil()
            elif was_asking and not tuning.is_asking:
                stream.settle(until_ns)
            if block is not None:
                yield block
                waits_since_ns = self._host.monotonic_ns()
            elif until_ns - waits_since_ns > self._stall_s * NS_PER_S:
                raise SourceError(f"{_why_no_block(tuning)}, for {self._stall_s:g} s")

    def _receive(self, stream: SpyStream) -> Message:
        try:
            return self._session.receive(self._stall_s)
        except PeerClosedError as error:
            pause_s = ENDED_PAUSE_S if stream.has_given else REFUSED_PAUSE_S
            raise PeerClosedError(
                "ended the session: it is full, or its owner limits the time", pause_s=pause_s
            ) from error

    def _hear(self, message: Message, stream: SpyStream, tuning: SpyTuning, now_ns: int) -> bytes:
        """Take anything but IQ, and skip what is not known; what to send, if anything."""
        if message.header.kind == Kind.PONG:
            return tuning.heard_pong(parse_pong(message.body), now_ns)
        if message.header.kind != Kind.CLIENT_SYNC:
            return b""
        before, sync = tuning.sync, parse_client_sync(message.body)
        question = tuning.heard_sync(sync, now_ns)
        if question:
            log.warning(
                "moved_by_another_client",
                receiver=self._receiver.id,
                iq_center_hz=sync.iq_center_hz,
                wanted_hz=tuning.center_freq_hz,
            )
        self._tell_changes(before, sync, stream, now_ns)
        return question

    def _tell_changes(
        self, before: ClientSync, sync: ClientSync, stream: SpyStream, now_ns: int
    ) -> None:
        """What another client did to the device spoils the samples, and maybe the levels."""
        ours = sync.can_control and sync.gain_index == self._settings.gain_index
        if sync.gain_index != before.gain_index and not ours:
            log.warning(
                "gain_changed_by_another_client",
                receiver=self._receiver.id,
                gain_index_before=before.gain_index,
                gain_index=sync.gain_index,
            )
        if sync != before:
            stream.settle(now_ns)


def _why_no_block(tuning: SpyTuning) -> str:
    if tuning.is_asking:
        return f"does not say that it follows to {tuning.center_freq_hz} Hz"
    return "gives too few samples for a block"
