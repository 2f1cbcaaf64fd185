"""What to ask of a SpyServer: its stage of decimation, format and gain, after what it has."""

from __future__ import annotations

from dataclasses import dataclass

from heimdall_edge import journal
from heimdall_edge.config_kinds import SpyServer
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.spyserver_protocol import (
    IQ_FORMATS,
    IQ_ONLY,
    ClientSync,
    DeviceInfo,
    Setting,
    set_setting,
)

log = journal.logger("spyserver")

RATE_TOLERANCE_HZ = 1.0
"""Of ``sample_rate_hz``: a stage's rate may be no whole number."""
FORMAT_NAMES = {iq_format.number: iq_format.name for iq_format in IQ_FORMATS.values()}
FORMAT_NUMBERS = {name: number for number, name in FORMAT_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked of the server, but for the centre."""

    stage: int
    sample_rate_hz: float
    """Of that stage, exactly."""
    format_number: int
    gain_index: int | None
    """``None`` where it stays as it is, or is not ours to set."""

    @property
    def before_centre(self) -> bytes:
        return (
            set_setting(Setting.STREAMING_MODE, IQ_ONLY)
            + set_setting(Setting.IQ_FORMAT, self.format_number)
            + set_setting(Setting.IQ_DECIMATION, self.stage)
        )

    @property
    def after_centre(self) -> bytes:
        """The last of them starts the stream."""
        gain = b""
        if self.gain_index is not None:
            gain = set_setting(Setting.GAIN, self.gain_index)
        return (
            gain
            + set_setting(Setting.IQ_DIGITAL_GAIN, 0)
            + set_setting(Setting.STREAMING_ENABLED, 1)
        )


def choose(
    settings: SpyServer,
    *,
    sample_rate_hz: float,
    info: DeviceInfo,
    sync: ClientSync,
    receiver_id: str,
) -> Choice:
    """Find what gives the configured rate, format and gain.

    Raises
    ------
    SourceDataError
        The server has no such rate or gain index; the message lists what it has.
    SourceError
        It forces a format that is not known.
    """
    stage, rate_hz = _stage(sample_rate_hz, info)
    return Choice(
        stage,
        rate_hz,
        _format_number(settings.format, info, receiver_id),
        _gain_index(settings.gain_index, info, sync, receiver_id),
    )


def _stage(sample_rate_hz: float, info: DeviceInfo) -> tuple[int, float]:
    for stage, rate_hz in info.rates_hz.items():
        if abs(rate_hz - sample_rate_hz) <= RATE_TOLERANCE_HZ:
            return stage, rate_hz
    rates = ", ".join(f"{rate_hz:.12g}" for rate_hz in info.rates_hz.values()) or "none"
    raise SourceDataError(f"sample_rate_hz {sample_rate_hz:.12g}: its {info.name} gives {rates}")


def _format_number(wanted: str, info: DeviceInfo, receiver_id: str) -> int:
    forced = info.forced_iq_format
    if not forced:
        return FORMAT_NUMBERS["s16" if wanted == "auto" else wanted]
    if forced not in FORMAT_NAMES:
        raise SourceError(f"it forces IQ format {forced}, expected one of {FORMAT_NAMES}")
    if FORMAT_NAMES[forced] != wanted:
        log.info(
            "format_is_forced", receiver=receiver_id, wanted=wanted, forced=FORMAT_NAMES[forced]
        )
    return forced


def _gain_index(
    wanted: int | None, info: DeviceInfo, sync: ClientSync, receiver_id: str
) -> int | None:
    if wanted is None:
        return None
    if wanted > info.max_gain_index:
        raise SourceDataError(f"gain_index {wanted}: its {info.name} has 0…{info.max_gain_index}")
    if sync.can_control:
        return wanted
    if wanted != sync.gain_index:
        log.warning(
            "gain_is_not_ours", receiver=receiver_id, wanted=wanted, in_force=sync.gain_index
        )
    return None
