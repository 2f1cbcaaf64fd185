"""What happens to a dongle, on an emulated USB bus with the real librtlsdr and pyrtlsdr."""

from __future__ import annotations

import signal

from tests.emulators.usb_dongles import Dongle, Tone, UsbDongles

from . import driver_process
from .fault import Kind
from .station import Station

SERIAL = "00000007"
RECEIVER = f"""
kind = "rtlsdr"
center_freq_hz = 446.2e6
sample_rate_hz = 1.024e6
gain_db = 28.0
rtlsdr.serial = "{SERIAL}"
"""


def bus() -> UsbDongles:
    """Two dongles; every child process sees them."""
    return UsbDongles([Dongle("00000001"), Dongle(SERIAL, tones=(Tone(446.1e6),))], visible=True)


def station(_usb: UsbDongles) -> Station:
    return Station(RECEIVER)


KIND = Kind("rtlsdr", peer=bus, station=station)

FAULTS = (
    KIND.fault(
        "unplugged, and plugged into another port",
        lambda usb: usb.unplug(SERIAL),
        lambda usb: usb.replug(SERIAL, port=9),
        says="unplugged|gone|not found",
    ),
    KIND.fault(
        "not there at the start",
        lambda usb: usb.unplug(SERIAL),
        lambda usb: usb.replug(SERIAL),
        says=f"{SERIAL}",
        from_start=True,
    ),
    KIND.fault(
        "stalls without an error",
        lambda usb: usb.stall(SERIAL),
        lambda usb: usb.stall(SERIAL, on=False),
        says="reconnecting: .*(no samples|stall|nothing)",
    ),
    KIND.fault(
        "another program has it",
        lambda usb: usb.hold_elsewhere(SERIAL),
        lambda usb: usb.hold_elsewhere(SERIAL, on=False),
        says="reconnecting: .*(busy|another program)",
        from_start=True,
    ),
    KIND.fault(
        "no permission",
        lambda usb: usb.refuse_to_open(SERIAL),
        lambda usb: usb.refuse_to_open(SERIAL, 0),
        says="reconnecting: .*permission",
        from_start=True,
    ),
    KIND.fault(
        "the kernel's driver holds it",
        lambda usb: usb.kernel_driver(SERIAL),
        lambda usb: usb.kernel_driver(SERIAL, on=False),
        says="reconnecting: .*dvb_usb_rtl28xxu",
        from_start=True,
    ),
    KIND.fault(
        "vanishes while it is opened",
        lambda usb: usb.vanish_in_open(SERIAL),
        lambda usb: usb.replug(SERIAL),
        says="reconnecting: ",
        from_start=True,
    ),
    KIND.fault(
        "opening it never returns",
        lambda usb: usb.hang(SERIAL),
        lambda usb: usb.hang(SERIAL, on=False),
        says="reconnecting: ",
        from_start=True,
        within_s=40.0,
    ),
    KIND.fault(
        "the driver's process is killed",
        lambda _usb: driver_process.send(signal.SIGKILL, module="rtlsdr"),
        says="reconnecting: .*SIGKILL",
    ),
    KIND.fault(
        "the driver's process hangs",
        lambda _usb: driver_process.send(signal.SIGSTOP, module="rtlsdr"),
        says="reconnecting: .*(no samples|stall|nothing)",
    ),
    KIND.fault(
        "the driver crashes",
        lambda usb: usb.crash(SERIAL),
        lambda usb: usb.crash(SERIAL, on=False),
        says="reconnecting: .*SIGSEGV",
    ),
    KIND.fault(
        "USB loses 0.3 s of samples",
        lambda usb: usb.lose(SERIAL, 300_000),
        says=None,
        loses=True,
    ),
)
