"""The driver of one RTL-SDR dongle: ``python -m heimdall_edge.drivers.rtlsdr``.

::

    line of settings ─▶ open ─▶ HELLO ─┬─▶ librtlsdr's thread: buffer ─▶ SAMPLES …
                                       └─▶ this thread: {"tune": hz} ─▶ EVENT {"tuned": hz}

What comes between a tuning's EVENT and the samples after it says which samples are of which centre;
how long the tuner needs to settle is the reader's business.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from heimdall_edge.drivers.dongles import (
    Plugged,
    chosen,
    is_there,
    opened,
    plugged_in,
    tuner_name,
)
from heimdall_edge.drivers.framing import Frame, FrameKind
from heimdall_edge.drivers.librtlsdr import knows_blog_v4, load
from heimdall_edge.drivers.outlet import Outlet
from heimdall_edge.drivers.parent import Parent, live_and_die_with_parent, take_standard_output
from heimdall_edge.drivers.refusal import Refusal

DIRECT_SAMPLING = {"off": 0, "i": 1, "q": 2}
LIBRARYS_OWN = 0
"""The number of buffers that librtlsdr itself chooses: 15."""
END_S = 0.3
"""How long the C library may take to stop streaming; after that the process just ends."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the parent wants, as the first line says it."""

    sample_rate_hz: int
    center_freq_hz: float
    gain_db: float | None
    """``None``: automatic."""
    buffer_bytes: int
    """Of one frame; a multiple of 16,384."""
    serial: str | None = None
    index: int | None = None
    ppm: int = 0
    bias_tee: bool = False
    direct_sampling: str = "off"
    offset_tuning: bool = False
    bandwidth_hz: int | None = None


class Radio:
    """An open dongle with its settings in force.

    Raises
    ------
    Refusal
        From everything: it is not there, held by somebody, or refuses a setting.
    """

    def __init__(self, rtlsdr: Any, settings: Settings) -> None:
        self._rtlsdr, self._settings = rtlsdr, settings
        self._stopping = threading.Event()
        dongles = plugged_in(rtlsdr)
        self._dongle: Plugged = chosen(dongles, serial=settings.serial, index=settings.index)
        self._same_serial = sum(dongle.serial == self._dongle.serial for dongle in dongles)
        if self._dongle.product == "Blog V4" and not knows_blog_v4():
            raise Refusal(
                "library",
                "this librtlsdr does not know the Blog V4, and would tune it wrong; expected that "
                "of pyrtlsdrlib 0.0.7 or later",
            )
        self._sdr = opened(rtlsdr, self._dongle)
        self._tuner = self._sdr.get_tuner_type()
        if not self._tuner and settings.direct_sampling == "off":
            raise self._failure("no tuner that librtlsdr knows answers")
        self._set_up()

    def hello(self) -> dict[str, object]:
        """What was opened, and what is in force."""
        settings, dongle = self._settings, self._dongle
        return {
            "tuner": self._tuner,
            "tuner_name": tuner_name(self._tuner),
            "serial": dongle.serial,
            "index": dongle.index,
            "manufacturer": dongle.manufacturer,
            "product": dongle.product,
            "dongles_with_this_serial": self._same_serial,
            "gain_db": None if settings.gain_db is None else self._sdr.get_gain(),
            "sample_rate_hz": settings.sample_rate_hz,
            "center_freq_hz": settings.center_freq_hz,
            "datatype": "cu8",
        }

    def stream(self, outlet: Outlet, parent: Parent) -> None:
        """Hand on buffers until ``stop``; returns, or raises, when it has ended.

        pyrtlsdr's own function would close the device by itself, under a ``stop`` or ``tune``.
        """

        def take(buffer: Any, n_bytes: int, _context: object) -> None:
            # Copied at once: the buffer is used again as soon as this returns.
            frame = Frame(FrameKind.SAMPLES, ctypes.string_at(buffer, n_bytes), time.monotonic_ns())
            outlet.offer(frame)
            if outlet.reader_gone.is_set():
                parent.stop()

        callback = self._rtlsdr.rtlsdr_read_async_cb_t(take)
        error = self._rtlsdr.librtlsdr.rtlsdr_read_async(
            self._sdr.dev_p, callback, self, LIBRARYS_OWN, self._settings.buffer_bytes
        )
        if not self._stopping.is_set():
            raise self._failure(f"its USB connection failed (error {error}): cable, hub, supply?")

    def tune(self, center_freq_hz: float) -> None:
        """Tune while it streams: pyrtlsdr would close the device on failure, and wait for ever."""
        set_it = self._rtlsdr.librtlsdr.rtlsdr_set_center_freq
        if (error := set_it(self._sdr.dev_p, int(center_freq_hz))) < 0:
            raise self._failure(f"cannot tune to {center_freq_hz:g} Hz (error {error})")

    def stop(self) -> None:
        """Make ``stream`` return soon; where it has just begun, that takes another call.

        pyrtlsdr's own function would close the device under such a stream.
        """
        self._stopping.set()
        self._rtlsdr.librtlsdr.rtlsdr_cancel_async(self._sdr.dev_p)

    def close(self) -> None:
        """Let go of it, and feed nothing to the antenna any more."""
        if self._settings.bias_tee and self._sdr.device_opened:
            with contextlib.suppress(OSError):  # it was unplugged
                self._sdr.set_bias_tee(False)
        self._sdr.close()

    def _set_up(self) -> None:
        wanted, sdr = self._settings, self._sdr
        self._try(lambda: sdr.set_sample_rate(wanted.sample_rate_hz), "set its sample rate")
        if wanted.ppm:  # librtlsdr refuses a correction that is in force already
            self._try(
                lambda: sdr.set_freq_correction(wanted.ppm), f"correct it by {wanted.ppm} ppm"
            )
        if wanted.direct_sampling != "off":
            way = DIRECT_SAMPLING[wanted.direct_sampling]
            self._try(lambda: sdr.set_direct_sampling(way), "sample directly")
        if wanted.offset_tuning:
            self._set_offset_tuning()
        if wanted.bandwidth_hz:
            width = wanted.bandwidth_hz
            self._try(lambda: sdr.set_bandwidth(width), f"set its bandwidth to {width} Hz")
        self.tune(wanted.center_freq_hz)
        gain = "auto" if wanted.gain_db is None else wanted.gain_db
        self._try(lambda: sdr.set_agc_mode(False), "switch its digital AGC off")
        self._try(lambda: sdr.set_gain(gain), f"set its gain to {gain}")
        self._try(lambda: sdr.set_bias_tee(wanted.bias_tee), "switch its bias tee")

    def _set_offset_tuning(self) -> None:
        set_it = self._rtlsdr.librtlsdr.rtlsdr_set_offset_tuning
        if set_it(self._sdr.dev_p, 1) < 0:
            name = tuner_name(self._tuner)
            raise Refusal(
                "setting",
                f"offset_tuning: the {name} tuner cannot do that; expected offset_tuning = false",
                permanent=True,
            )

    def _try(self, action: Any, what: str) -> None:
        try:
            action()
        except OSError as error:
            raise self._failure(f"cannot {what}: {error}") from error

    def _failure(self, message: str) -> Refusal:
        if not is_there(self._rtlsdr, self._dongle):
            return Refusal("unplugged", "was unplugged")
        return Refusal("usb", message)


class Streaming:
    """The thread that is inside the C library while the radio streams."""

    def __init__(self, radio: Radio, outlet: Outlet, parent: Parent) -> None:
        self._radio, self._outlet, self._parent = radio, outlet, parent
        self._thread = threading.Thread(target=self._run, name="librtlsdr", daemon=True)
        self._thread.start()

    def end(self, timeout_s: float) -> bool:
        """Stop; whether the library has returned in time."""
        deadline_s = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < deadline_s:
            self._radio.stop()
            self._thread.join(0.02)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._radio.stream(self._outlet, self._parent)
        except Refusal as refusal:
            self._outlet.say(FrameKind.ERROR, refusal.said)
        self._parent.stop()


def main() -> int:
    """Run until the parent closes standard input, or the dongle fails."""
    live_and_die_with_parent()
    outlet = Outlet(take_standard_output(), bytes_per_sample=2)
    parent = Parent()
    settings = Settings(**parent.settings())
    try:
        radio = Radio(load(), settings)
    except Refusal as refusal:
        outlet.say(FrameKind.ERROR, refusal.said)
        outlet.close(timeout_s=END_S)
        _leave(1)  # what is half open, closing might hang on
    outlet.say(FrameKind.HELLO, radio.hello())
    streaming = Streaming(radio, outlet, parent)
    try:
        for command in parent.commands():
            radio.tune(command["tune"])
            outlet.say(FrameKind.EVENT, {"tuned": command["tune"]})
    except Refusal as refusal:
        outlet.say(FrameKind.ERROR, refusal.said)
    has_stopped = streaming.end(END_S)
    outlet.close(timeout_s=END_S)
    if not has_stopped:
        _leave(1)  # the C library would hold up the interpreter's end
    radio.close()
    return 0


def _leave(code: int) -> NoReturn:
    """End at once, whatever other threads do inside C."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
