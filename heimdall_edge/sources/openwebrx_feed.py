"""The state of one OpenWebRX connection: what comes in, what it means, what is to be answered.

::

    text, bytes ─▶ OpenWebRxFeed ─▶ Observation, Listening
                        ├─▶ outgoing: texts for the server
                        └─▶ notes: events for the journal

Pure: it reads no clock, logs nothing, and owns no socket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from heimdall_edge.config import Channel
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.channel_levels import ChannelLevels, Moment, Reading, Said
from heimdall_edge.sources.openwebrx_channels import Assignment, MeterTuning, assign
from heimdall_edge.sources.openwebrx_protocol import (
    Backoff,
    ConfigChange,
    Details,
    Fault,
    Message,
    SMeter,
    read_text,
    tuning,
)
from heimdall_edge.sources.openwebrx_rows import Band, read_row
from heimdall_edge.types import Place, ReceiverInfo

LATENCY_SIGMA_S = 0.3
"""How far apart the ways of two servers' measurements through their buffers and the net may be."""
SETTLE_S = 1.0
"""After a change, what is still on its way shows the time before."""
METER_PATIENCE_S = 5.0
"""An S-meter that says nothing for so long is given up until the next change."""
METER_PERIOD_S = 0.25
NOBODYS_PLACE = (47.0, 19.0)
"""What a new installation says until its owner writes where it is (``owrx/config/defaults.py``)."""
MAX_MALFORMED = 20
"""In a row; then this is not what it says it is."""
BUSY_PAUSE_S = 600.0
BANNED_PAUSE_S = 3_600.0
NO_DEVICE_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the journal."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict)
    is_warning: bool = False


class OpenWebRxFeed:
    """Follows the channels of one receiver through one connection."""

    def __init__(
        self,
        *,
        receiver: ReceiverInfo,
        channels: Sequence[Channel],
        min_duration_s: float = 0.0,
        place_is_theirs: bool = False,
    ) -> None:
        self._receiver = receiver
        self._channels = tuple(channels)
        self._min_duration_s = min_duration_s
        self._place_is_theirs = place_is_theirs
        self.band = Band()
        self.place: Place | None = None
        """As the server says it."""
        self.session_s: float | None = None
        """How long the owner lets a listener stay."""
        self.outgoing: list[str] = []
        self.notes: list[Note] = []
        self.n_rows = 0
        """Rows that were read, of whatever band."""
        self._assignment: Assignment | None = None
        self._levels: dict[str, ChannelLevels] = {}
        self._settled_s = self._meter_heard_s = -math.inf
        self._row_period_s = 0.0
        self._last_row_s: float | None = None
        self._n_malformed = 0

    @property
    def listens_to(self) -> tuple[str, ...]:
        """Names of the channels that are measured at present."""
        return tuple(self._levels)

    def is_settled(self, monotonic_s: float) -> bool:
        """Whether rows flow since the last change of band."""
        return self._last_row_s is not None and monotonic_s >= self._settled_s

    def place_is(self, place: Place) -> None:
        """The owner says where the antenna is: taken where the configuration does not."""
        if (place.latitude_deg, place.longitude_deg) == NOBODYS_PLACE:
            return
        self.place = place
        if self._place_is_theirs:
            height_m = self._receiver.place.antenna_height_m
            place = replace(place, antenna_height_m=height_m)
            self._receiver = replace(self._receiver, place=place)

    def take(self, message: str | bytes, moment: Moment) -> list[Said]:
        """Take the next message.

        Raises
        ------
        SourceError
            The server sends us away, has no device, or talks nonsense.
        """
        try:
            if isinstance(message, bytes):
                said = self._take_row(message, moment)
            else:
                said = self._take_text(read_text(message), moment)
        except ValueError as error:
            self._malformed(error)
            return []
        self._n_malformed = 0
        return said

    def flush(self) -> list[Said]:
        """End what is open: the connection is over."""
        said = [s for levels in self._levels.values() for s in levels.flush()]
        self._levels = {}
        return said

    def _malformed(self, error: ValueError) -> None:
        self._n_malformed += 1
        if self._n_malformed == 1:
            self.notes.append(Note("message_refused", {"reason": str(error)}, is_warning=True))
        if self._n_malformed >= MAX_MALFORMED:
            raise SourceError(f"{MAX_MALFORMED} malformed messages in a row, lastly {error}")

    # ── texts ─────────────────────────────────────────────────────────────────────────────

    def _take_text(self, message: Message | None, moment: Moment) -> list[Said]:
        if isinstance(message, SMeter):
            return self._take_meter(message, moment)
        if isinstance(message, ConfigChange):
            return self._take_config(message, moment)
        if isinstance(message, Details):
            self.session_s = message.session_s
            if message.place is not None:
                self.place_is(message.place)
        elif isinstance(message, Backoff):
            raise _sent_away(message.reason)
        elif isinstance(message, Fault):
            self._take_fault(message)
        return []

    def _take_config(self, change: ConfigChange, moment: Moment) -> list[Said]:
        band = change.applied_to(self.band)
        if band == self.band:
            return []
        said = self.flush()
        self.band, self._assignment, self._last_row_s = band, None, None
        if band.is_whole:
            self._begin(moment, meter_works=True)
        return said

    def _take_fault(self, fault: Fault) -> None:
        if fault.kind == "sdr_error":
            raise SourceError(
                f"the server has no receiver: {fault.text!r}", pause_s=NO_DEVICE_PAUSE_S
            )
        self.notes.append(Note(fault.kind, {"text": fault.text}, is_warning=True))

    # ── what serves which channel ─────────────────────────────────────────────────────────

    def _begin(self, moment: Moment, *, meter_works: bool) -> None:
        """Listen anew to whatever channels the band holds."""
        assignment = self._assignment = assign(self.band, self._channels, meter_works=meter_works)
        is_compressed = self.band.fft_compression == "adpcm"
        meter = assignment.by_meter
        self._levels = {
            channel.name: ChannelLevels(
                channel=channel,
                receiver=self._receiver,
                min_duration_s=self._min_duration_s,
                silence_counts=not is_compressed or _channel_of(meter) == channel.name,
            )
            for channel in self._channels
            if channel.name in {*assignment.by_rows, _channel_of(meter)}
        }
        self._settled_s = self._meter_heard_s = moment.monotonic_s + SETTLE_S
        self._last_row_s = None
        if meter is not None:
            self.outgoing += tuning(
                offset_hz=meter.offset_hz,
                half_width_hz=meter.half_width_hz,
                output_rate_hz=meter.output_rate_hz,
            )
        self._note(assignment)

    def _note(self, assignment: Assignment) -> None:
        low_hz, high_hz = self.band.edges_hz
        said = {
            "band_hz": f"{low_hz:.0f}…{high_hz:.0f}",
            "profile": self.band.profile or "unknown",
            "by_rows": ",".join(assignment.by_rows) or "none",
            "by_meter": _channel_of(assignment.by_meter) or "none",
            "outside": ",".join(assignment.outside) or "none",
        }
        self.notes.append(Note("band", said, is_warning=not self._levels))
        if assignment.too_narrow:
            channels = ",".join(assignment.too_narrow)
            reason = f"under 4 bins of {self.band.bin_hz:.0f} Hz"
            self.notes.append(
                Note("channels_too_narrow", {"channels": channels, "reason": reason}, True)
            )
        if self.band.fft_compression == "adpcm" and assignment.by_rows:
            channels = ",".join(assignment.by_rows)
            self.notes.append(Note("levels_from_compressed_rows", {"channels": channels}, True))

    # ── measurements ──────────────────────────────────────────────────────────────────────

    def _take_row(self, payload: bytes, moment: Moment) -> list[Said]:
        row = read_row(payload, self.band)
        if row is None:
            return []
        self.n_rows += 1
        if self._assignment is None or moment.monotonic_s < self._settled_s:
            return []
        self._learn_period(moment)
        said: list[Said] = []
        if (
            self._assignment.by_meter is not None
            and moment.monotonic_s - self._meter_heard_s > METER_PATIENCE_S
        ):
            said += self._give_up_meter(moment)
        for name, bins in self._assignment.by_rows.items():
            reading = bins.read(row)
            said += self._levels[name].hear(reading, _stamped(moment, self._row_period_s))
        return said

    def _give_up_meter(self, moment: Moment) -> list[Said]:
        said = self.flush()
        channel = _channel_of(self._assignment.by_meter if self._assignment else None)
        self.notes.append(Note("meter_is_silent", {"channel": channel}, is_warning=True))
        self._begin(moment, meter_works=False)
        return said

    def _take_meter(self, meter: SMeter, moment: Moment) -> list[Said]:
        channel = _channel_of(self._assignment.by_meter if self._assignment else None)
        if channel is None or moment.monotonic_s < self._settled_s:
            return []
        self._meter_heard_s = moment.monotonic_s
        stamped = _stamped(moment, METER_PERIOD_S)
        return self._levels[channel].hear(Reading(meter.level_db), stamped)

    def _learn_period(self, moment: Moment) -> None:
        if self._last_row_s is not None:
            self._row_period_s += 0.1 * (moment.monotonic_s - self._last_row_s - self._row_period_s)
        self._last_row_s = moment.monotonic_s


def _stamped(moment: Moment, period_s: float) -> Moment:
    """With a clock that admits the server's averaging and the way through the net."""
    sigma_s = math.hypot(moment.clock.sigma_s or 0.0, LATENCY_SIGMA_S, period_s)
    return replace(moment, clock=replace(moment.clock, sigma_s=sigma_s, locked=False))


def _channel_of(meter: MeterTuning | None) -> str | None:
    """The channel that the S-meter serves."""
    return None if meter is None else meter.channel


def _sent_away(reason: str) -> SourceError:
    is_ban = "ban" in reason.casefold()
    return SourceError(
        f"the server sends us away: {reason or 'it says no reason'!r}",
        pause_s=BANNED_PAUSE_S if is_ban else BUSY_PAUSE_S,
    )
