"""One inner table of ``[[receivers]]`` a kind: what that protocol alone knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from heimdall_edge.config_base import Decibels, Hertz, Table
from heimdall_edge.types import SampleFormat

Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/@?#]+$")]
"""A name or address, such as ``sdr.example``, ``192.0.2.7`` or ``2001:db8::7``."""
Port = Annotated[int, Field(ge=1, le=65_535)]
Ppm = Annotated[float, Field(ge=-500, le=500)]


class Recording(Table):
    """A file that is played as a receiver."""

    path: Path
    """``*.sigmf-meta``, KiwiSDR ``*.wav``, or raw samples. Looked for beside this file, then in
    the folder that ``HEIMDALL_EDGE_DATA`` names, or in the working directory."""
    format: Literal["auto", "sigmf", "kiwi_wav", "raw"] = "auto"
    """``auto`` goes by the file's name; anything unknown is ``raw``."""
    datatype: SampleFormat = "cu8"
    """Of ``raw``."""
    start_utc: str | None = None
    """When the first sample was taken, RFC 3339, where the file does not say; its modification
    time (KiwiSDR: its name's) when left out."""
    pace: Literal["real_time", "fast"] = "fast"
    """As it was received, or as fast as the worker goes; nothing is lost either way."""
    block_samples: Annotated[int, Field(ge=256, le=4_194_304)] = 65_536


class ObservationFile(Table):
    """Finished observations, one JSON line each, in the published format."""

    path: Path
    """``-`` is standard input."""
    pace: Literal["real_time", "fast"] = "fast"


class RtlSdr(Table):
    """An RTL-SDR dongle on this host, by its serial or its index; the only one when neither is."""

    serial: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Found again in any USB port. ``rtl_eeprom -s`` writes it, ``heimdall-edge receivers`` lists
    it."""
    index: Annotated[int, Field(ge=0, le=63)] | None = None
    """Changes with the USB port and the order of plugging in."""
    ppm: Annotated[int, Field(ge=-500, le=500)] = 0
    """Correction of the crystal, whole parts per million."""
    bias_tee: bool = False
    """Feeds 4.5 V to the antenna socket: only for an amplifier that wants it."""
    direct_sampling: Literal["off", "i", "q"] = "off"
    """Below 24 MHz, past the tuner; ``q`` on an RTL-SDR Blog V3, ``off`` on a V4."""
    offset_tuning: bool = False
    """Moves the DC spike away on E4000 tuners."""
    bandwidth_hz: Hertz | None = None
    """Of the tuner's filter; chosen by the sample rate when left out."""

    @model_validator(mode="after")
    def _one_name(self) -> RtlSdr:
        if self.serial is not None and self.index is not None:
            raise ValueError("serial and index exclude each other: expected one of them")
        return self


class Soapy(Table):
    """Any SoapySDR device, local or by SoapyRemote."""

    device: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"(^|,)\s*driver\s*=")]
    """Its arguments, ``driver=`` always among them; two receivers that name the same ones share
    the device, each with a ``channel`` of its own, at one rate."""
    channel: Annotated[int, Field(ge=0, le=63)] = 0
    antenna: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """By the driver's own name."""
    gains: dict[str, Decibels] = Field(default_factory=dict)
    """Element → dB, such as ``LNA = 20``; instead of the receiver's ``gain_db``."""
    settings: dict[str, str] = Field(default_factory=dict)
    """The driver's own settings, such as ``biastee = "true"``."""
    format: Literal["native", "CU8", "CS8", "CS16", "CF32"] = "native"
    """Of the samples; ``native`` is what the device itself gives."""
    bandwidth_hz: Hertz | None = None
    ppm: Ppm = 0.0
    """Correction of the crystal."""

    @field_validator("device")
    @classmethod
    def _not_null(cls, device: str) -> str:
        if re.search(r"(^|,)\s*driver\s*=\s*null\s*(,|$)", device):
            raise ValueError("driver=null gives no samples: expected a real driver's name")
        return device


class RtlTcp(Table):
    """A dongle behind ``rtl_tcp``; one client at a time."""

    host: Host
    port: Port = 1234
    ppm: Annotated[int, Field(ge=-500, le=500)] = 0
    bias_tee: bool | None = None
    """Nothing is sent when left out: some forks mean something else by this command."""
    direct_sampling: Literal["off", "i", "q"] = "off"
    offset_tuning: bool = False
    bandwidth_hz: Hertz | None = None
    """Sent only where it is set: the command of hayguen's fork (0x40)."""


class SpyServer(Table):
    """A SpyServer."""

    host: Host
    port: Port = 5555
    format: Literal["auto", "u8", "s16", "f32"] = "auto"
    """Of the samples; ``auto`` is what the server forces, else s16."""
    gain_index: Annotated[int, Field(ge=0, le=255)] | None = None
    """Where the server lets its clients choose."""


class KiwiSdr(Table):
    """A KiwiSDR's IQ channel, 0–30 MHz, with GNSS time stamps where its owner gives them out."""

    host: Host
    port: Port = 8073
    tls: bool = False
    password_file: Path | None = None
    """One line: the password of a channel that wants one."""
    time_limit_password_file: Path | None = None
    """One line: the owner's password that lifts the time limit."""
    user: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Shown to the receiver's owner; ``heimdall-edge <station>`` when left out."""
    half_band_hz: Annotated[float, Field(ge=500, le=10_000)] = 5_000.0
    """The pass band reaches so far to either side of ``center_freq_hz``."""


class OpenWebRx(Table):
    """An OpenWebRX or OpenWebRX+ page: levels and a coarse spectrum, no samples."""

    host: Host
    port: Port = 8073
    tls: bool = False
    path: Annotated[str, Field(pattern=r"^/[^\s?#]*$")] = "/ws/"
    min_duration_s: Annotated[float, Field(ge=0, le=60)] = 0.3
    """Its rows come a few times a second: shorter ones say little."""


class WebSdr(Table):
    """A WebSDR.org page: one S-meter, after an interface that its author never published."""

    host: Host
    port: Port = 8901
    tls: bool = False
    band: Annotated[int, Field(ge=0, le=63)] | None = None
    """Its number on the page; the one that holds the channel when left out."""
    mode: Literal["usb", "lsb", "cw", "am", "fm"] = "fm"
