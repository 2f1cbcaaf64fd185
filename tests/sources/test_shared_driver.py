"""One device's channels as receivers of their own, through the real library."""

# ruff: noqa: F401, F811  (fixtures come by import)
import os
import threading
import time
from itertools import islice

import psutil
import pytest

from heimdall_edge.drivers.framing import Frame, FrameKind
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.child import DriverProcess
from heimdall_edge.sources.shared_driver import MAX_QUEUED_FRAMES, SharedDriver

from .contract import missing_before
from .soapy_fixtures import (
    RATE_HZ,
    TONE_HZ,
    device_of,
    module_folder,
    receiver_of,
    source_of,
    sources_of,
)
from .test_soapy import peak_of

PATIENCE_S = 20.0


@pytest.fixture
def two(device_of, sources_of):
    """Settings of the device → itself, and the sources of its channels."""

    def make(*, stall_timeout_s=5.0, second=None, **settings):
        device = device_of(tone1=TONE_HZ + 50e3, **settings)
        receivers = (
            receiver_of(device.args, name="left", channel=0),
            receiver_of(device.args, name="right", channel=1, **(second or {})),
        )
        return device, *sources_of(*receivers, stall_timeout_s=stall_timeout_s)

    return make


def driver_processes():
    found = psutil.Process().children()
    return [child for child in found if "drivers.soapy" in " ".join(child.cmdline())]


def read(source, n_blocks):
    return list(islice(source.blocks(), n_blocks))


class Reading(threading.Thread):
    """Reads a source in a thread of its own, as the daemon does."""

    def __init__(self, source):
        super().__init__(daemon=True)
        self._source, self.blocks, self.error = source, [], None
        self.start()

    def run(self):
        try:
            self._source.open()
            for block in self._source.blocks():
                self.blocks.append(block)
        except SourceError as error:
            self.error = error

    def has(self, n_blocks):
        deadline_s = time.monotonic() + PATIENCE_S
        while len(self.blocks) < n_blocks and self.is_alive():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return len(self.blocks) >= n_blocks


def test_two_channels_of_one_device_share_one_process_and_hear_their_own(two):
    _, left, right = two()
    left.open()
    right.open()
    assert len(driver_processes()) == 1
    assert peak_of(read(left, 1)[0])[0] == pytest.approx(TONE_HZ, abs=20)
    assert peak_of(read(right, 1)[0])[0] == pytest.approx(TONE_HZ + 50e3, abs=20)


def test_the_device_may_be_written_in_another_order(device_of, sources_of):
    left, right = sources_of(
        receiver_of("driver=heimdallsim,serial=1", name="left"),
        receiver_of(" serial=1 , driver=heimdallsim", name="right", channel=1),
    )
    left.open()
    right.open()
    assert len(driver_processes()) == 1


def test_a_loss_hits_both_alike(two):
    device, left, right = two()
    readings = [Reading(source) for source in (left, right)]
    assert all(reading.has(20) for reading in readings)
    device.overflow(7_777)
    assert all(reading.has(26) for reading in readings)
    for source in (left, right):
        source.close()
    for reading in readings:
        reading.join(CLOSE_TIMEOUT_S)
        assert sum(block.lost_samples for block in reading.blocks) == 7_777
        assert reading.error is None


def test_each_is_tuned_alone(two):
    _, left, right = two()
    left.open()
    right.open()
    left.tune(200e6)
    assert read(left, 1)[0].center_freq_hz == 200e6
    assert {block.center_freq_hz for block in read(right, 5)} == {100e6}


@pytest.mark.parametrize("fault", ["die", "crash", "hang"])
def test_a_failure_hits_both_and_both_recover_with_one_process(two, sources_of, fault):
    device, left, right = two(stall_timeout_s=0.5)
    readings = [Reading(source) for source in (left, right)]
    assert all(reading.has(1) for reading in readings)
    getattr(device, fault)()
    for reading in readings:
        reading.join(PATIENCE_S)
        assert isinstance(reading.error, SourceError)
    assert str(readings[0].error) == str(readings[1].error)
    left.close()
    right.close()
    receivers = [receiver_of(device.args, name=str(n), channel=n) for n in (0, 1)]
    again = sources_of(*receivers)
    readings = [Reading(source) for source in again]
    assert all(reading.has(2) for reading in readings)
    assert len(driver_processes()) == 1


def test_closing_one_leaves_the_other_running_without_a_loss(two):
    _, left, right = two()
    readings = [Reading(source) for source in (left, right)]
    assert all(reading.has(1) for reading in readings)
    (before,) = driver_processes()
    left.close()
    readings[0].join(CLOSE_TIMEOUT_S)
    assert not readings[0].is_alive()
    assert readings[1].has(len(readings[1].blocks) + 5)
    assert driver_processes() == [before]
    assert sum(block.lost_samples for block in readings[1].blocks) == 0
    assert sum(block.dropped_samples for block in readings[1].blocks) == 0


def test_one_that_comes_back_joins_the_process_that_runs(device_of, sources_of):
    device = device_of()
    receivers = [receiver_of(device.args, name=str(n), channel=n) for n in (0, 1)]
    left, right = sources_of(*receivers)
    reading = Reading(right)
    assert reading.has(1)
    left.open()
    (before,) = driver_processes()
    left.close()
    # A new source of the same daemon finds the same device.
    devices = right._tap._driver
    again = devices.tap(0)
    again.open()
    assert next(again.frames()).kind is FrameKind.SAMPLES
    again.close()
    assert driver_processes() == [before]


def test_the_last_one_that_closes_ends_the_process(two):
    _, left, right = two()
    left.open()
    right.open()
    left.close()
    assert len(driver_processes()) == 1
    right.close()
    assert driver_processes() == []


def test_a_device_that_was_let_go_can_be_opened_again_at_once(device_of, sources_of):
    device = device_of()
    (first,) = sources_of(receiver_of(device.args))
    first.open()
    tap = first._tap._driver.tap(0)
    first.close()
    tap.open()
    assert len(driver_processes()) == 1
    tap.close()


def test_two_receivers_of_one_channel_are_refused(device_of, sources_of):
    device = device_of()
    left, _ = sources_of(
        receiver_of(device.args, name="left"), receiver_of(device.args, name="right")
    )
    with pytest.raises(SourceDataError, match="receivers left and right both want channel 0"):
        left.open()


def test_what_one_channel_lacks_is_told_with_its_number(device_of, sources_of):
    args = device_of().args
    left, _ = sources_of(
        receiver_of(args, name="left"), receiver_of(args, name="right", channel=1, antenna="TX")
    )
    with pytest.raises(SourceDataError, match="channel 1 has no antenna 'TX': expected one of RX"):
        left.open()


# ── with a driver that is a script ────────────────────────────────────────────────────────

SCRIPT = """\
import os, threading, time
from heimdall_edge.drivers.framing import Frame, FrameKind
from heimdall_edge.drivers.outlet import Outlet
from heimdall_edge.drivers.parent import Parent, live_and_die_with_parent, take_standard_output
live_and_die_with_parent()
parent = Parent()
settings = parent.settings()
outlet = Outlet(take_standard_output(), bytes_per_sample=2)
outlet.say(FrameKind.HELLO, {"bytes_per_sample": 2})
def samples(channel, lost=0):
    outlet.offer(Frame(FrameKind.SAMPLES, bytes(200), time.monotonic_ns(), channel=channel,
        lost_samples=lost))
"""


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A driver's program → what shares it."""
    paths = [str(tmp_path), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))

    def make(program):
        (tmp_path / "scripted_soapy.py").write_text(SCRIPT + program)
        return SharedDriver(
            lambda: DriverProcess(
                module="scripted_soapy", settings={}, name="test radio", stall_timeout_s=1.0
            )
        )

    return make


def test_what_a_slow_source_does_not_take_is_dropped_and_counted(shared, tmp_path):
    n_frames = MAX_QUEUED_FRAMES + 10
    driver = shared(
        f"wanted = {str(tmp_path / 'wanted')!r}\n"
        f"for _ in range({n_frames}): samples(0, lost=1)\n"
        "while not os.path.exists(wanted): samples(1); time.sleep(0.01)\n"
        "samples(0)\n"
        "for command in parent.commands(): pass\n"
    )
    tap = driver.tap(0)
    tap.open()
    time.sleep(0.3)  # nobody reads meanwhile
    taken = [next(tap.frames()) for _ in range(MAX_QUEUED_FRAMES)]
    (tmp_path / "wanted").touch()
    last = next(tap.frames())
    tap.close()
    assert {(frame.lost_samples, frame.dropped_samples) for frame in taken} == {(1, 0)}
    assert (last.lost_samples, last.dropped_samples) == (10, 1000)


def test_commands_name_their_channel_and_answers_go_to_it_alone(shared):
    driver = shared(
        "def chatter():\n"
        "    while True: samples(2); time.sleep(0.01)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
        "for command in parent.commands(): outlet.say(FrameKind.EVENT, command)\n"
    )
    left, right = driver.tap(0), driver.tap(1)
    left.open()
    right.open()
    right.send({"tune": 1.0})
    left.send({"tune": 2.0})
    assert next(right.frames()).json == {"tune": 1.0, "channel": 1}
    assert next(left.frames()).json == {"tune": 2.0, "channel": 0}
    left.close()
    right.close()


def test_an_event_that_names_no_channel_rightly_is_an_error(shared):
    driver = shared('outlet.say(FrameKind.EVENT, {"channel": "x"})\ntime.sleep(600)\n')
    tap = driver.tap(0)
    with pytest.raises(SourceError, match="test radio: driver's event"):  # noqa: PT012
        tap.open()
        next(tap.frames())
    tap.close()


def test_a_tap_that_is_closed_neither_opens_nor_gives(shared):
    tap = shared("time.sleep(600)").tap(0)
    tap.close()
    with pytest.raises(SourceError, match="closed before"):
        tap.open()
    assert list(tap.frames()) == []
