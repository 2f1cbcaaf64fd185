"""The RTL-SDR dongles of this host, and which of them is meant.

``python -m heimdall_edge.drivers.dongles`` lists them, one JSON object a line.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from heimdall_edge.drivers.librtlsdr import load
from heimdall_edge.drivers.overheard import overheard
from heimdall_edge.drivers.refusal import Refusal

ACCESS, BUSY = -3, -6
"""libusb's errors."""
TUNER_NAMES = ("", "E4000", "FC0012", "FC0013", "FC2580", "R820T", "R828D")
PERMISSION = (
    "no permission to open it; expected the udev rules of librtlsdr (apt install librtlsdr0), and "
    "this user in the group plugdev; plug it in again afterwards"
)
KERNEL_DRIVER = (
    "the kernel's television driver (dvb_usb_rtl28xxu) holds it; expected it on the blacklist: "
    "echo 'blacklist dvb_usb_rtl28xxu' > /etc/modprobe.d/rtlsdr.conf, then "
    "rmmod dvb_usb_rtl28xxu, or plug it in again"
)
IN_USE = "another program has it (rtl_tcp, rtl_433, readsb, another receiver of this daemon …)"


@dataclass(frozen=True, slots=True)
class Plugged:
    """A dongle that is plugged in."""

    index: int
    serial: str
    """Empty where it could not be read."""
    manufacturer: str = ""
    product: str = ""
    error: int = 0
    """What reading its strings gave."""

    @property
    def words(self) -> str:
        named = f"{self.manufacturer} {self.product}".strip()
        if self.error:
            return f"index {self.index} (unreadable: error {self.error})"
        return f"{self.serial!r} ({named})"


def plugged_in(rtlsdr: Any) -> list[Plugged]:
    """All dongles, in the order of their index, in use or not."""
    count = int(rtlsdr.librtlsdr.rtlsdr_get_device_count())
    return [_plugged(rtlsdr.librtlsdr, index) for index in range(count)]


def _plugged(library: Any, index: int) -> Plugged:
    strings = [(ctypes.c_ubyte * 256)() for _ in range(3)]
    error = int(library.rtlsdr_get_device_usb_strings(index, *strings))
    maker, product, serial = (bytes(s).split(b"\0")[0].decode(errors="replace") for s in strings)
    return Plugged(index, serial, maker, product, error)


def chosen(dongles: list[Plugged], *, serial: str | None, index: int | None) -> Plugged:
    """The dongle that is meant by a serial, by an index, or by being the only one.

    Raises
    ------
    Refusal
        It is not there, or more than one could be meant.
    """
    if not dongles:
        raise Refusal("not_found", "no RTL-SDR dongle is plugged in; expected one on this host")
    if serial is not None:
        return _with_serial(dongles, serial)
    if index is not None:
        if index < len(dongles):
            return dongles[index]
        raise Refusal("not_found", f"no dongle has index {index}; found {_listed(dongles)}")
    if len(dongles) > 1:
        raise Refusal(
            "not_found", f"which one is not said: expected rtlsdr.serial, one of {_listed(dongles)}"
        )
    return dongles[0]


def _with_serial(dongles: list[Plugged], serial: str) -> Plugged:
    for dongle in dongles:
        if dongle.serial == serial and not dongle.error:
            return dongle
    if any(dongle.error == ACCESS for dongle in dongles):
        raise Refusal("permission", PERMISSION)
    raise Refusal("not_found", f"no dongle has this serial; found {_listed(dongles)}")


def _listed(dongles: list[Plugged]) -> str:
    return ", ".join(dongle.words for dongle in dongles)


def opened(rtlsdr: Any, dongle: Plugged) -> Any:
    """A dongle as an object of pyrtlsdr's.

    Raises
    ------
    Refusal
        It cannot be opened; why is told by libusb's error, and by what librtlsdr writes.
    """
    with overheard() as heard:
        try:
            return rtlsdr.RtlSdr(device_index=dongle.index)
        except OSError as error:
            failed = error
    raise _why_not(rtlsdr, dongle, failed, heard.text) from failed


def _why_not(rtlsdr: Any, dongle: Plugged, error: OSError, heard: str) -> Refusal:
    if error.errno == ACCESS:
        return Refusal("permission", PERMISSION)
    # librtlsdr says so on standard error alone; the error is the same for all who hold it.
    if "Kernel driver is active" in heard or "kernel driver failed" in heard:
        return Refusal("kernel_driver", KERNEL_DRIVER)
    if error.errno == BUSY:
        return Refusal("busy", IN_USE)
    if not is_there(rtlsdr, dongle):
        return Refusal("unplugged", "was unplugged while it was being opened")
    return Refusal("usb", f"cannot be opened: {error}")


def is_there(rtlsdr: Any, dongle: Plugged) -> bool:
    """Whether a dongle is still plugged in, in whichever port."""
    return any(other.serial == dongle.serial for other in plugged_in(rtlsdr))


def tuner_name(number: int) -> str:
    """The name of a tuner by librtlsdr's number; empty where no tuner answers."""
    return TUNER_NAMES[number] if number < len(TUNER_NAMES) else f"tuner {number}"


def main() -> int:
    """List the dongles: those that nobody uses are opened for a moment, to see their tuner."""
    try:
        rtlsdr = load()
    except Refusal as refusal:
        sys.stdout.write(json.dumps(refusal.said) + "\n")
        return 1
    for dongle in plugged_in(rtlsdr):
        found = {**asdict(dongle), "tuner": None, "state": "free", "message": None}
        try:
            sdr = opened(rtlsdr, dongle)
            found["tuner"] = tuner_name(sdr.get_tuner_type()) or None
            sdr.close()
        except Refusal as refusal:
            found["state"], found["message"] = refusal.reason, refusal.message
        sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
