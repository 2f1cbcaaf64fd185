"""The driver's process by itself: what it writes, when it ends, what it needs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heimdall_edge.drivers.framing import FrameKind, FrameParser

from ..emulators.usb_dongles import BLOG_V4, Dongle, UsbDongles

DEBIANS = sorted(Path("/usr/lib").glob("*/librtlsdr.so.0"))
SETTINGS = {
    "serial": "A1",
    "sample_rate_hz": 2_400_000,
    "center_freq_hz": 446e6,
    "gain_db": 28.0,
    "buffer_bytes": 131_072,
}


@pytest.fixture
def usb():
    dongles = [Dongle("A1"), Dongle("V4", **BLOG_V4)]
    with UsbDongles(dongles) as usb:
        yield usb


@pytest.fixture
def debians_library(tmp_path):
    """What makes a program use Debian's librtlsdr."""
    if not DEBIANS:
        pytest.fail("librtlsdr is not installed: apt-get install librtlsdr0")
    (tmp_path / "librtlsdr.so.0").symlink_to(DEBIANS[0])
    return {"LD_LIBRARY_PATH": str(tmp_path)}


class Driver:
    """The process, as the daemon starts it."""

    def __init__(self, usb, environment=None, **settings):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "heimdall_edge.drivers.rtlsdr"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **usb.environment, **(environment or {})},
        )
        self._parser = FrameParser()
        self.say({**SETTINGS, **settings})

    def say(self, command):
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def frames(self):
        while data := os.read(self._process.stdout.fileno(), 65_536):
            self._parser.feed(data)
            yield from self._parser

    @property
    def imported(self):
        maps = Path(f"/proc/{self._process.pid}/maps").read_text()
        return {line.split()[-1] for line in maps.splitlines() if "/" in line}

    def hang_up(self):
        self._process.stdin.close()

    def stop_reading(self):
        self._process.stdout.close()

    def end(self, timeout_s=10):
        """Its exit code, and what it wrote to standard error."""
        try:
            code = self._process.wait(timeout_s)
        finally:
            self._process.kill()
        said = self._process.stderr.read().decode()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        return code, said


def refusal_of(driver):
    (frame,) = list(driver.frames())
    assert frame.kind is FrameKind.ERROR
    driver.end()
    return frame.json


def test_it_says_what_it_opened_and_hands_on_samples_until_the_parent_hangs_up(usb):
    driver = Driver(usb)
    frames = driver.frames()
    hello = next(frames)
    assert hello.kind is FrameKind.HELLO
    assert hello.json == {
        "tuner": 5,
        "tuner_name": "R820T",
        "serial": "A1",
        "index": 0,
        "manufacturer": "Realtek",
        "product": "RTL2838UHIDIR",
        "dongles_with_this_serial": 1,
        "gain_db": 28.0,
        "sample_rate_hz": 2_400_000,
        "center_freq_hz": 446e6,
        "datatype": "cu8",
    }
    stamps = []
    for frame, _ in zip(frames, range(5), strict=False):
        assert frame.kind is FrameKind.SAMPLES
        assert len(frame.payload) == 131_072
        stamps.append(frame.monotonic_ns)
    assert stamps == sorted(stamps)
    assert abs(time.monotonic_ns() - stamps[-1]) < 5e9
    driver.hang_up()
    assert driver.end()[0] == 0


def test_it_loads_no_numpy(usb):
    driver = Driver(usb)
    next(driver.frames())
    assert not [path for path in driver.imported if "numpy" in path or "onnx" in path]
    driver.hang_up()
    driver.end()


@pytest.mark.parametrize("library", ["pyrtlsdrlib", "Debian's"])
def test_hanging_up_right_after_the_start_ends_it_in_good_order(usb, library, debians_library):
    for _ in range(4):
        driver = Driver(usb, debians_library if library == "Debian's" else None)
        driver.hang_up()
        assert [f.kind.name for f in driver.frames() if f.kind is FrameKind.ERROR] == []
        assert driver.end()[0] == 0


def test_a_reader_that_is_gone_ends_it(usb):
    driver = Driver(usb)
    next(driver.frames())
    driver.stop_reading()
    assert driver.end()[0] == 0


def test_debians_library_serves_as_well(usb, debians_library):
    driver = Driver(usb, debians_library)
    frames = driver.frames()
    assert next(frames).json["tuner_name"] == "R820T"
    assert next(frames).kind is FrameKind.SAMPLES
    used = {path for path in driver.imported if "librtlsdr" in path}
    assert used == {str(DEBIANS[0].resolve())}
    driver.hang_up()
    driver.end()


def test_a_library_that_would_tune_a_blog_v4_wrong_is_refused(usb, debians_library):
    said = refusal_of(Driver(usb, debians_library, serial="V4"))
    assert said["reason"] == "library"
    assert "does not know the Blog V4" in said["message"]


def test_a_kernel_driver_is_detached_by_debians_library(usb, debians_library):
    usb.kernel_driver("A1")
    driver = Driver(usb, debians_library)
    assert next(driver.frames()).kind is FrameKind.HELLO
    driver.hang_up()
    driver.end()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda usb: usb.unplug("A1"), "not_found"),
        (lambda usb: usb.refuse_to_open("A1"), "permission"),
        (lambda usb: usb.kernel_driver("A1"), "kernel_driver"),
        (lambda usb: usb.hold_elsewhere("A1"), "busy"),
        (lambda usb: usb.vanish_in_open("A1"), "unplugged"),
    ],
)
def test_each_failure_has_its_own_reason(usb, fault, reason):
    fault(usb)
    said = refusal_of(Driver(usb))
    assert (said["reason"], said["permanent"]) == (reason, False)


def test_a_tuner_that_does_not_answer_is_told(usb):
    with UsbDongles([Dongle("A1", tuner="none")]) as mute:
        said = refusal_of(Driver(mute))
    assert (said["reason"], said["message"]) == ("usb", "no tuner that librtlsdr knows answers")


def test_a_tuning_that_fails_is_an_error_and_lets_go_of_everything(usb):
    driver = Driver(usb, bias_tee=True)
    frames = driver.frames()
    assert next(frames).kind is FrameKind.HELLO
    assert usb.told("A1").bias_tee
    driver.say({"tune": 1000.0})
    (error,) = [frame for frame in frames if frame.kind is FrameKind.ERROR]
    assert "cannot tune to 1000 Hz" in error.json["message"]
    assert driver.end()[0] == 0
    assert not usb.told("A1").bias_tee
