"""The bytes of SpyServer: commands there, messages back; little-endian words throughout.

::

    HELLO ─▶                      command: u32 kind, u32 size, body
          ◀─ DEVICE_INFO          message: u32 version, u32 type (high half: flags), u32 stream,
          ◀─ CLIENT_SYNC                   u32 sequence, u32 size, body
    SET_SETTING … ─▶
          ◀─ IQ, IQ, IQ …

The server is closed source; clients (SDR++, SDRangel, spyserver_client) agree on what stands here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from heimdall_edge.errors import SourceError
from heimdall_edge.types import SampleFormat

VERSION = 2 << 24 | 0 << 16 | 1700
HEADER_BYTES, DEVICE_INFO_BYTES, CLIENT_SYNC_BYTES = 20, 48, 36
LARGEST_BODY_BYTES = 1 << 20
MOST_STAGES = 24
IQ_ONLY = 1


class Command(IntEnum):
    """What a client may say."""

    HELLO = 0
    SET_SETTING = 2
    PING = 3


class Setting(IntEnum):
    """What a client may set."""

    STREAMING_MODE = 0
    STREAMING_ENABLED = 1
    GAIN = 2
    IQ_FORMAT = 100
    IQ_FREQUENCY = 101
    IQ_DECIMATION = 102
    IQ_DIGITAL_GAIN = 103


class Kind(IntEnum):
    """Messages that are understood; others are skipped."""

    DEVICE_INFO = 0
    CLIENT_SYNC = 1
    PONG = 2


@dataclass(frozen=True, slots=True)
class IqFormat:
    """How the samples of one kind of message are written."""

    number: int
    """As the setting and ``forced_iq_format`` say it."""
    name: str
    sample_bytes: int
    datatype: SampleFormat
    """What a block of it is; s24 becomes float32, which holds each of its values exactly."""


IQ_FORMATS: Final = {
    100: IqFormat(1, "u8", 2, "cu8"),
    101: IqFormat(2, "s16", 4, "ci16_le"),
    102: IqFormat(3, "s24", 6, "cf32_le"),
    103: IqFormat(4, "f32", 8, "cf32_le"),
}
"""By the type of the message."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before each message's body."""

    kind: int
    flags: int
    """Of IQ: the digital gain that the server applied, dB."""
    stream: int
    sequence: int
    body_bytes: int

    @property
    def iq_format(self) -> IqFormat | None:
        """``None`` where the message holds no IQ."""
        return IQ_FORMATS.get(self.kind)


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a server has."""

    device_type: int
    serial: int
    max_sample_rate_hz: int
    max_bandwidth_hz: int
    stages: int
    gain_stages: int
    max_gain_index: int
    min_freq_hz: int
    max_freq_hz: int
    resolution_bits: int
    min_iq_stage: int
    forced_iq_format: int
    """0: any."""

    @property
    def name(self) -> str:
        """The device, in words."""
        names = {1: "Airspy", 2: "Airspy HF+", 3: "RTL-SDR"}
        return names.get(self.device_type, f"device of type {self.device_type}")

    @property
    def rates_hz(self) -> dict[int, float]:
        """Stage of decimation → rate, of those that clients may ask for."""
        stages = range(self.min_iq_stage, min(self.stages, MOST_STAGES) + 1)
        return {stage: self.max_sample_rate_hz / 2**stage for stage in stages}


@dataclass(frozen=True, slots=True)
class ClientSync:
    """What is in force for this client; comes again with each change."""

    can_control: bool
    gain_index: int
    device_center_hz: int
    iq_center_hz: int
    fft_center_hz: int
    min_iq_center_hz: int
    max_iq_center_hz: int
    min_fft_center_hz: int
    max_fft_center_hz: int

    def covers(self, center_hz: int) -> bool:
        """Whether this client may have that centre without moving the device for others."""
        return self.min_iq_center_hz <= center_hz <= self.max_iq_center_hz


def hello(name: str) -> bytes:
    """The greeting; ``name`` is shown to the server's owner."""
    return _command(Command.HELLO, struct.pack("<I", VERSION) + name.encode("ascii", "replace"))


def set_setting(setting: Setting, value: int) -> bytes:
    """One setting; u32."""
    return _command(Command.SET_SETTING, struct.pack("<II", setting, value))


def ping(token: int) -> bytes:
    """Comes back as a PONG once all commands before it were read."""
    return _command(Command.PING, struct.pack("<I", token))


def parse_header(data: bytes | bytearray) -> Header:
    """Read a message's header.

    Parameters
    ----------
    data
        :data:`HEADER_BYTES` bytes.

    Raises
    ------
    SourceError
        Where a message should begin, none does; or it is of another version.
    """
    version, kind, stream, sequence, body_bytes = struct.unpack("<5I", data)
    if version >> 16 != VERSION >> 16:
        raise SourceError(
            f"protocol word {version:#010x} where a message should begin, "
            f"expected {VERSION >> 24}.{VERSION >> 16 & 0xFF} ({VERSION:#010x})"
        )
    if body_bytes > LARGEST_BODY_BYTES:
        raise SourceError(
            f"a message of {body_bytes} bytes, expected at most {LARGEST_BODY_BYTES}: "
            "its framing is lost"
        )
    return Header(kind & 0xFFFF, kind >> 16, stream, sequence, body_bytes)


def parse_device_info(body: bytes | bytearray) -> DeviceInfo:
    """Read DEVICE_INFO; newer servers may add words.

    Raises
    ------
    SourceError
        It is too short, or its numbers cannot be.
    """
    if len(body) < DEVICE_INFO_BYTES:
        raise SourceError(f"DEVICE_INFO of {len(body)} bytes, expected {DEVICE_INFO_BYTES}")
    info = DeviceInfo(*struct.unpack_from("<12I", body))
    if info.device_type and not info.max_sample_rate_hz:
        raise SourceError("DEVICE_INFO says that its sample rate is 0")
    return info


def parse_client_sync(body: bytes | bytearray) -> ClientSync:
    """Read CLIENT_SYNC; newer servers may add words.

    Raises
    ------
    SourceError
        It is too short.
    """
    if len(body) < CLIENT_SYNC_BYTES:
        raise SourceError(f"CLIENT_SYNC of {len(body)} bytes, expected {CLIENT_SYNC_BYTES}")
    can_control, *numbers = struct.unpack_from("<9I", body)
    return ClientSync(bool(can_control), *numbers)


def parse_pong(body: bytes | bytearray) -> int | None:
    """The token of the ping that it answers; ``None`` where it is not ours."""
    return int.from_bytes(body, "little") if len(body) == 4 else None


def _command(command: Command, body: bytes) -> bytes:
    return struct.pack("<II", command, len(body)) + body
