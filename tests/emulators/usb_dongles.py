"""Dongles that do not exist, for programs that do: an emulated USB bus.

::

    with UsbDongles([Dongle("00000001", tones=(Tone(446.1e6),)), Dongle("00000002")]) as usb:
        subprocess.run(["rtl_test", "-d", "0"], env={**os.environ, **usb.environment})
        usb.unplug("00000001")

The unmodified librtlsdr (pyrtlsdrlib's, Debian's), pyrtlsdr, rtl_test, rtl_tcp and SoapyRTLSDR run
on it; ``usb/README.md`` says how. Needs gcc and libusb's header.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .compiling import shared_library

SOURCES = Path(__file__).with_name("usb")
MAGIC = 0x68454432
SLOTS, TONES = 8, 16
NO_DEVICE, ACCESS, BUSY = -4, -3, -6
"""libusb's errors, for ``refuse_to_open``."""
TUNERS = {"R820T": 0, "R828D": 1, "none": 2}
LNA_STEPS = (0, 9, 13, 40, 38, 13, 31, 22, 26, 31, 26, 14, 19, 5, 35, 13)
MIXER_STEPS = (0, 5, 10, 10, 19, 9, 10, 25, 17, 10, 8, 16, 13, 6, 3, -8)
"""What each step of the R820T adds, tenths of dB."""


class _Tone(ctypes.Structure):
    _fields_ = (("rf_hz", ctypes.c_double), ("amplitude_lsb", ctypes.c_double))


class _Slot(ctypes.Structure):
    """As ``struct bus_slot`` in usb/bus.h."""

    _fields_ = (
        ("present", ctypes.c_int32),
        ("port", ctypes.c_int32),
        ("generation", ctypes.c_int32),
        ("open_error", ctypes.c_int32),
        ("kernel_driver", ctypes.c_int32),
        ("held_elsewhere", ctypes.c_int32),
        ("stalled", ctypes.c_int32),
        ("crash", ctypes.c_int32),
        ("vanish_after", ctypes.c_int32),
        ("hang", ctypes.c_int32),
        ("tuner", ctypes.c_int32),
        ("n_tones", ctypes.c_int32),
        ("follows_gain", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("lose_samples", ctypes.c_int64),
        ("ppm", ctypes.c_double),
        ("noise_lsb", ctypes.c_double),
        ("dc_lsb", ctypes.c_double),
        ("tones", _Tone * TONES),
        ("serial", ctypes.c_char * 64),
        ("manufacturer", ctypes.c_char * 64),
        ("product", ctypes.c_char * 64),
        ("iq_path", ctypes.c_char * 256),
        ("opens", ctypes.c_int32),
        ("bias_tee", ctypes.c_int32),
        ("lna_index", ctypes.c_int32),
        ("mixer_index", ctypes.c_int32),
        ("gain_is_manual", ctypes.c_int32),
        ("direct_sampling", ctypes.c_int32),
        ("samples_given", ctypes.c_int64),
        ("samples_lost", ctypes.c_int64),
        ("center_hz", ctypes.c_double),
        ("rate_hz", ctypes.c_double),
    )


class _Bus(ctypes.Structure):
    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("slot_bytes", ctypes.c_uint32),
        ("slots", _Slot * SLOTS),
    )


@dataclass(frozen=True)
class Tone:
    """A carrier on the air."""

    rf_hz: float
    amplitude_lsb: float = 40.0
    """Of the 8-bit samples: 127 is full scale. Whatever the gain, unless ``follows_gain``."""


@dataclass(frozen=True)
class Dongle:
    """What is plugged in."""

    serial: str = "00000001"
    tones: tuple[Tone, ...] = ()
    ppm: float = 0.0
    """By how much its crystal is fast."""
    noise_lsb: float = 2.0
    dc_lsb: float = 0.0
    follows_gain: bool = False
    """Tones and noise are as given at 28.0 dB, and follow the tuner's gain while it is fixed."""
    iq: Path | None = None
    """Raw cu8, repeated, whatever it is tuned to; instead of tones and noise."""
    tuner: str = "R820T"
    """Or R828D, or none that answers."""
    manufacturer: str = "Realtek"
    product: str = "RTL2838UHIDIR"


BLOG_V4 = {"tuner": "R828D", "manufacturer": "RTLSDRBlog", "product": "Blog V4"}
"""``Dongle(serial, **BLOG_V4)``."""


@dataclass(frozen=True)
class Told:
    """What a dongle's registers and the bus say."""

    opens: int
    """How often a program took it."""
    bias_tee: bool
    gain_db: float | None
    """As the gain registers have it; ``None`` while the gain is automatic."""
    direct_sampling: bool
    samples_given: int
    samples_lost: int
    """Nobody waited for them, or ``lose`` took them away."""
    center_hz: float
    """As the registers have it, without the crystal's error: some Hz beside what was asked for."""
    rate_hz: float


class UsbDongles:
    """A USB bus with dongles; a context manager.

    ``environment`` makes a program see them, and no real ones. Faults, by serial, at any moment
    and for all programs at once, until they are taken back:

    ``unplug`` and ``replug``
        It is gone, and comes back, in another port if wanted (the order of ports makes the index).
    ``stall(on)``
        Its transfers never complete, and no error comes.
    ``hang(on)``
        Each control transfer blocks for ever: opening and tuning never return.
    ``crash(on)``
        The program that reads it takes a SIGSEGV.
    ``hold_elsewhere(on)``
        Another program has it: claiming fails with BUSY.
    ``kernel_driver(on)``
        ``dvb_usb_rtl28xxu`` holds it. Debian's librtlsdr detaches that, pyrtlsdrlib's does not.
    ``refuse_to_open(error)``
        Opening fails: ACCESS, no permission; 0 takes it back.
    ``vanish_in_open(after)``
        It is unplugged after so many more control transfers: in the middle of opening.
    ``lose(n_samples)``
        So many samples are lost, once.
    ``set_ppm``, ``set_tones``
        Its crystal, and the air, change while it runs; the crystal at the next tuning.

    Parameters
    ----------
    dongles
        In the order of their ports.
    folder
        Where the bus's file is made; a folder of its own when left out.
    visible
        Whether what this process starts meanwhile sees it: puts it into ``os.environ``.
    """

    def __init__(
        self, dongles: Iterable[Dongle], *, folder: Path | None = None, visible: bool = False
    ) -> None:
        self._dongles = tuple(dongles)
        assert len(self._dongles) <= SLOTS
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="usb-dongles-")
        self._path = Path(folder or self._temporary.name) / "bus"  # type: ignore[union-attr]
        self._library = library()
        self._visible = visible
        self._hidden: dict[str, str | None] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment."""
        return {"LD_PRELOAD": str(self._library), "FAKEUSB_BUS": str(self._path)}

    def __enter__(self) -> Self:
        self._path.write_bytes(bytes(ctypes.sizeof(_Bus)))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._bus = _Bus.from_buffer(self._map)
        self._bus.slot_bytes = ctypes.sizeof(_Slot)
        for port, (slot, dongle) in enumerate(zip(self._bus.slots, self._dongles, strict=False), 1):
            slot.port = port
            self._plug_in(slot, dongle)
        self._bus.magic = MAGIC
        if self._visible:
            self._hidden = {name: os.environ.get(name) for name in self.environment}
            os.environ.update(self.environment)
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self._hidden.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        del self._bus  # it points into the map
        self._map.close()
        if self._temporary:
            self._temporary.cleanup()

    # ── faults ────────────────────────────────────────────────────────────────────────────

    def unplug(self, serial: str) -> None:
        self._slot(serial).present = 0

    def replug(self, serial: str, *, port: int | None = None) -> None:
        slot = self._slot(serial)
        slot.generation += 1
        slot.port = slot.port if port is None else port
        slot.stalled = slot.hang = slot.crash = slot.vanish_after = 0
        slot.present = 1

    def stall(self, serial: str, on: bool = True) -> None:
        self._slot(serial).stalled = on

    def hang(self, serial: str, on: bool = True) -> None:
        self._slot(serial).hang = on

    def crash(self, serial: str, on: bool = True) -> None:
        self._slot(serial).crash = on

    def hold_elsewhere(self, serial: str, on: bool = True) -> None:
        self._slot(serial).held_elsewhere = on

    def kernel_driver(self, serial: str, on: bool = True) -> None:
        self._slot(serial).kernel_driver = on

    def refuse_to_open(self, serial: str, error: int = ACCESS) -> None:
        self._slot(serial).open_error = error

    def vanish_in_open(self, serial: str, *, after: int = 20) -> None:
        self._slot(serial).vanish_after = after

    def lose(self, serial: str, n_samples: int) -> None:
        self._slot(serial).lose_samples = n_samples

    def set_ppm(self, serial: str, ppm: float) -> None:
        self._slot(serial).ppm = ppm

    def set_tones(self, serial: str, tones: Iterable[Tone]) -> None:
        slot = self._slot(serial)
        slot.n_tones = 0
        for place, tone in zip(slot.tones, tones, strict=False):
            place.rf_hz, place.amplitude_lsb = tone.rf_hz, tone.amplitude_lsb
            slot.n_tones += 1

    # ── what it did ───────────────────────────────────────────────────────────────────────

    def told(self, serial: str) -> Told:
        """How a dongle stands at this moment."""
        slot = self._slot(serial)
        tenths = sum(LNA_STEPS[: slot.lna_index + 1]) + sum(MIXER_STEPS[: slot.mixer_index + 1])
        return Told(
            opens=slot.opens,
            bias_tee=bool(slot.bias_tee),
            gain_db=tenths / 10 if slot.gain_is_manual else None,
            direct_sampling=bool(slot.direct_sampling),
            samples_given=slot.samples_given,
            samples_lost=slot.samples_lost,
            center_hz=slot.center_hz,
            rate_hz=slot.rate_hz,
        )

    def _slot(self, serial: str) -> Any:
        for slot, dongle in zip(self._bus.slots, self._dongles, strict=False):
            if dongle.serial == serial:
                return slot
        raise KeyError(f"no dongle with serial {serial!r}")

    def _plug_in(self, slot: Any, dongle: Dongle) -> None:
        slot.serial, slot.product = dongle.serial.encode(), dongle.product.encode()
        slot.manufacturer = dongle.manufacturer.encode()
        slot.iq_path = str(dongle.iq).encode() if dongle.iq else b""
        slot.follows_gain = dongle.follows_gain
        slot.tuner = TUNERS[dongle.tuner]
        slot.ppm, slot.noise_lsb, slot.dc_lsb = dongle.ppm, dongle.noise_lsb, dongle.dc_lsb
        self.set_tones(dongle.serial, dongle.tones)
        slot.present = 1


def library() -> Path:
    """The emulator, compiled if its sources changed since the last time."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    include = subprocess.run(
        ["pkg-config", "--cflags", "libusb-1.0"], capture_output=True, text=True, check=True
    )
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread"]
    programs = [str(path) for path in sources if path.suffix == ".c"]
    command = ["gcc", *flags, *include.stdout.split(), *programs, "-lm"]
    return shared_library("usb", sources, command)
