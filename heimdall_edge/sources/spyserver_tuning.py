"""Which centre a SpyServer's samples have, while others may move its device.

::

    ask ─▶ [asked] ──PONG, CLIENT_SYNC agrees or says nothing──▶ [ours] ─▶ samples count
              ▲                                                    │
              └─────── CLIENT_SYNC tells another centre ◀──────────┘
                       that we may have: asked again; that we may not: SourceError

A CLIENT_SYNC that was on its way when we asked tells the centre before. The PONG of a ping that
was sent right after the question tells them apart: the server reads commands in order.
"""

from __future__ import annotations

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import (
    ClientSync,
    DeviceInfo,
    Setting,
    ping,
    set_setting,
)
from heimdall_edge.types import NS_PER_S

PONG_TIMEOUT_S = 2.0
"""A server that answers no ping has followed by then."""
MOST_QUESTIONS, WITHIN_S = 6, 60.0
"""More would be a quarrel with another client."""
QUARREL_PAUSE_S = 300.0
MOVED_PAUSE_S = 60.0


class SpyTuning:
    """The centre that we want, and whether the server gives it.

    Parameters
    ----------
    info, sync
        What the server said of its device, and of this client.
    center_freq_hz
        What we want.
    """

    def __init__(self, *, info: DeviceInfo, sync: ClientSync, center_freq_hz: int) -> None:
        self._info, self.sync = info, sync
        self.center_freq_hz = center_freq_hz
        self._token = 0
        self._asked_ns: int | None = None
        self._told: ClientSync | None = None  # since we asked
        self._questions_ns: list[int] = []

    @property
    def is_asking(self) -> bool:
        """Whether it is not known yet which centre the samples have."""
        return self._asked_ns is not None

    def refuse_unreachable(self, center_freq_hz: int) -> None:
        """Check a centre before asking for it.

        Raises
        ------
        SourceError
            This client may not have it, as long as the device is where it is.
        """
        sync, info = self.sync, self._info
        if sync.can_control:
            low_hz, high_hz = info.min_freq_hz, info.max_freq_hz
            if not low_hz <= center_freq_hz <= high_hz:
                raise SourceError(
                    f"centre {center_freq_hz} Hz: its {info.name} reaches {low_hz}…{high_hz} Hz",
                    pause_s=MOVED_PAUSE_S,
                )
        elif not sync.covers(center_freq_hz):
            raise SourceError(
                f"centre {center_freq_hz} Hz: its device stands at {sync.device_center_hz} Hz and "
                f"is not ours to move; now {sync.min_iq_center_hz}…{sync.max_iq_center_hz} Hz",
                pause_s=MOVED_PAUSE_S,
            )

    def ask(self, center_freq_hz: int, monotonic_ns: int) -> bytes:
        """What to send to have another centre; not the first time, it may be too often.

        Raises
        ------
        SourceError
            It cannot be had, or was asked for too often.
        """
        self.refuse_unreachable(center_freq_hz)
        self.center_freq_hz = center_freq_hz
        self._token += 1
        self._asked_ns, self._told = monotonic_ns, None
        return set_setting(Setting.IQ_FREQUENCY, center_freq_hz) + ping(self._token)

    def heard_sync(self, sync: ClientSync, monotonic_ns: int) -> bytes:
        """Take a CLIENT_SYNC; returns what to send, if anything.

        Raises
        ------
        SourceError
            The device was moved to where our centre is not.
        """
        self.sync = self._told = sync
        if self.is_asking or sync.iq_center_hz == self.center_freq_hz:
            return b""
        return self._ask_again(monotonic_ns)

    def heard_pong(self, token: int | None, monotonic_ns: int) -> bytes:
        """Take a PONG; as :meth:`heard_sync`."""
        if token != self._token or not self.is_asking:
            return b""
        return self._judge(monotonic_ns)

    def heard_nothing(self, monotonic_ns: int) -> bytes:
        """Time passes; as :meth:`heard_sync`."""
        asked_ns = self._asked_ns
        if asked_ns is None or monotonic_ns - asked_ns < PONG_TIMEOUT_S * NS_PER_S:
            return b""
        return self._judge(monotonic_ns)

    def _judge(self, monotonic_ns: int) -> bytes:
        self._asked_ns = None
        if self._told is None or self._told.iq_center_hz == self.center_freq_hz:
            return b""
        return self._ask_again(monotonic_ns)

    def _ask_again(self, monotonic_ns: int) -> bytes:
        since_ns = monotonic_ns - round(WITHIN_S * NS_PER_S)
        self._questions_ns = [t for t in self._questions_ns if t > since_ns] + [monotonic_ns]
        if len(self._questions_ns) > MOST_QUESTIONS:
            raise SourceError(
                f"centre {self.center_freq_hz} Hz: asked for it {MOST_QUESTIONS} times within "
                f"{WITHIN_S:g} s, it is at {self.sync.iq_center_hz} Hz again: another client "
                "moves it, or the server does not follow",
                pause_s=QUARREL_PAUSE_S,
            )
        return self.ask(self.center_freq_hz, monotonic_ns)
