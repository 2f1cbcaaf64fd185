"""``python -m heimdall_edge.drivers.soapy``: one SoapySDR device, in a process of its own.

::

    stdin: settings ─▶ open, set up ─▶ HELLO
           {"tune": Hz, "channel": n} ─▶ EVENT {"tuned": Hz, "channel": n}
    reading thread: readStream ─▶ block ─▶ SAMPLES, one frame a channel ─▶ stdout

SoapySDR is called through ctypes, which works with any Python; see
:mod:`heimdall_edge.drivers.soapy_calls`. A driver that hangs is ended by the parent, which waits
for samples no longer than it wants to; a driver that crashes takes this process alone.

``--list [ARGS]`` prints the devices that SoapySDR finds, one JSON object a line.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_edge.drivers.framing import FLAG_OVERFLOW, Frame, FrameKind
from heimdall_edge.drivers.outlet import Outlet
from heimdall_edge.drivers.parent import (
    Parent,
    live_and_die_with_parent,
    take_standard_output,
)
from heimdall_edge.drivers.soapy_api import Device, Library
from heimdall_edge.drivers.soapy_calls import STATUS_NAMES, SoapyError
from heimdall_edge.drivers.soapy_losses import LossMeter, Missing
from heimdall_edge.drivers.soapy_setup import RefusedError, frequency_in_force, set_up
from heimdall_edge.drivers.soapy_stream import CORRUPTION, OVERFLOW, TIMEOUT, Stream

SAMPLE_BYTES = {"CU8": 2, "CS8": 2, "CS16": 4, "CF32": 8}
READ_TIMEOUT_S = 0.2
FAREWELL_S = 0.3
"""How long the device's release and the last frames may take."""
QUEUED_BLOCKS = 32
"""At 2.4 Msps: 0.9 s of a daemon that does not read."""
PASSING = (TIMEOUT, CORRUPTION, OVERFLOW)
"""Statuses after which the next read may bring samples."""


class Reception:
    """Reads a stream, and offers its samples in blocks of an even size.

    Its thread alone touches stream and buffers. At a gap the block so far goes out, short as it is,
    so that each frame's samples follow each other.
    """

    def __init__(
        self,
        stream: Stream,
        outlet: Outlet,
        *,
        channels: Sequence[int],
        losses: LossMeter,
        bytes_per_sample: int,
        block_samples: int,
    ) -> None:
        self._stream, self._outlet = stream, outlet
        self._channels = tuple(channels)
        self._bytes_per_sample, self._block_samples = bytes_per_sample, block_samples
        size = block_samples * bytes_per_sample
        self._buffers = [ctypes.create_string_buffer(size) for _ in channels]
        self._addresses = [ctypes.addressof(buffer) for buffer in self._buffers]
        self._losses = losses
        self._held = 0
        self._before = Missing()
        self._time_ns: int | None = None
        self._monotonic_ns = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read until ``stop``; SoapyError where the stream is broken."""
        while not self._stopped.is_set():
            self._read()

    def stop(self) -> None:
        """Let ``run`` end after its next read; from any thread."""
        self._stopped.set()

    def _read(self) -> None:
        start = self._held * self._bytes_per_sample
        read = self._stream.read(
            [address + start for address in self._addresses],
            self._block_samples - self._held,
            timeout_s=READ_TIMEOUT_S,
        )
        monotonic_ns = time.monotonic_ns()
        missing = self._losses.take(read, monotonic_ns)
        if read.status and read.status not in PASSING:
            why = STATUS_NAMES.get(read.status, f"status {read.status}")
            raise SoapyError(f"readStream: {why}")
        if not read.n_samples:
            return
        if missing.is_gap:
            self._send()
            self._move_to_front(start, read.n_samples)
            self._before = missing
        if not self._held:
            self._time_ns = read.time_ns
        self._held += read.n_samples
        self._monotonic_ns = monotonic_ns
        if self._held == self._block_samples:
            self._send()

    def _move_to_front(self, start: int, n_samples: int) -> None:
        for address in self._addresses:
            ctypes.memmove(address, address + start, n_samples * self._bytes_per_sample)

    def _send(self) -> None:
        if not self._held:
            return
        for channel, address in zip(self._channels, self._addresses, strict=True):
            self._outlet.offer(
                Frame(
                    FrameKind.SAMPLES,
                    ctypes.string_at(address, self._held * self._bytes_per_sample),
                    self._monotonic_ns,
                    self._time_ns,
                    lost_samples=self._before.lost_samples,
                    channel=channel,
                    flags=FLAG_OVERFLOW if self._before.is_unknown else 0,
                )
            )
        self._held, self._before = 0, Missing()


def main(arguments: Sequence[str]) -> int:
    """The process; its exit code."""
    if arguments[:1] == ["--list"]:
        return list_devices(" ".join(arguments[1:]))
    os.environ.setdefault("SOAPY_SDR_LOG_LEVEL", "WARNING")
    descriptor = take_standard_output()
    live_and_die_with_parent()
    parent = Parent()
    wishes = parent.settings()
    try:
        _receive(wishes, parent, descriptor)
    except RefusedError as refusal:
        _give_up(descriptor, str(refusal), permanent=True)
    except SoapyError as error:
        _give_up(descriptor, str(error), permanent=False)
    return 0


def list_devices(args: str) -> int:
    """Print what SoapySDR finds, one JSON object a line; 1 where it is not installed."""
    descriptor = take_standard_output()
    try:
        found = Library().enumerate(args)
    except SoapyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        for device in found:
            out.write(f"{json.dumps(device)}\n")
    return 0


def _opened(args: str) -> Device:
    try:
        library = Library()
    except SoapyError as error:
        raise RefusedError(str(error)) from error
    try:
        return library.open(args)
    except SoapyError as error:
        raise SoapyError(
            f"cannot be opened: {error}; is it there, not in use, and its soapysdr-module "
            "installed? `SoapySDRUtil --find` lists what is found"
        ) from error


def _receive(wishes: Mapping[str, Any], parent: Parent, descriptor: int) -> None:
    """Open, stream, and obey, until the parent has enough or the stream breaks."""
    device = _opened(wishes["device"])
    said = set_up(device, wishes)
    channels = [channel["channel"] for channel in said["channels"]]
    stream = device.stream(said["format"], channels)
    stream.start()
    bytes_per_sample = SAMPLE_BYTES[said["format"]]
    block_bytes = wishes["block_samples"] * bytes_per_sample * len(channels)
    outlet = Outlet(
        descriptor,
        bytes_per_sample=bytes_per_sample,
        max_queued_bytes=QUEUED_BLOCKS * block_bytes,
    )
    outlet.say(FrameKind.HELLO, {**said, "bytes_per_sample": bytes_per_sample})
    reception = Reception(
        stream,
        outlet,
        channels=channels,
        losses=LossMeter(said["sample_rate_hz"]),
        bytes_per_sample=bytes_per_sample,
        block_samples=wishes["block_samples"],
    )
    reader = threading.Thread(target=_read, args=(reception, outlet, parent), daemon=True)
    reader.start()
    for command in parent.commands():
        outlet.say(FrameKind.EVENT, _tuned(device, command))
    reception.stop()
    outlet.close(timeout_s=FAREWELL_S)
    reader.join(FAREWELL_S)
    if reader.is_alive():  # inside a driver that hangs: releasing the device would hang, too
        os._exit(0)
    stream.close()
    device.close()


def _read(reception: Reception, outlet: Outlet, parent: Parent) -> None:
    """The reading thread."""
    try:
        reception.run()
    except SoapyError as error:
        outlet.say(FrameKind.ERROR, _error(str(error), permanent=False))
        parent.stop()


def _give_up(descriptor: int, why: str, *, permanent: bool) -> None:
    """Say why there will be no samples."""
    outlet = Outlet(descriptor, bytes_per_sample=1)
    outlet.say(FrameKind.ERROR, _error(why, permanent=permanent))
    outlet.close(timeout_s=FAREWELL_S)


def _tuned(device: Device, command: Mapping[str, Any]) -> dict[str, object]:
    """Tune a channel; the event that says what came of it."""
    channel, wanted_hz = command["channel"], command["tune"]
    try:
        device.set_frequency(channel, wanted_hz)
        tuned_hz = frequency_in_force(device, channel, wanted_hz)
    except SoapyError as error:
        return {"channel": channel, "not_tuned": str(error)}
    return {"channel": channel, "tuned": tuned_hz}


def _error(message: str, *, permanent: bool) -> dict[str, object]:
    reason = "refused" if permanent else "driver"
    return {"reason": reason, "message": message, "permanent": permanent}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
