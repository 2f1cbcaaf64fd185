"""The process of a SoapySDR device: its listing, and its blocks; the rest is tests/sources'."""

# ruff: noqa: F401, F811  (fixtures come by import)
import ctypes
import json
import os
import subprocess
import sys
import time

import pytest

from heimdall_edge.drivers import soapy_calls
from heimdall_edge.drivers.framing import FLAG_OVERFLOW, FrameKind
from heimdall_edge.drivers.soapy import Reception, _opened, list_devices
from heimdall_edge.drivers.soapy_calls import SoapyError
from heimdall_edge.drivers.soapy_losses import NS_PER_S, LossMeter
from heimdall_edge.drivers.soapy_setup import RefusedError
from heimdall_edge.drivers.soapy_stream import CORRUPTION, HAS_TIME, OVERFLOW, TIMEOUT, Read

from ..sources.soapy_fixtures import module_folder

BLOCK = 100


def listed(*arguments):
    command = [sys.executable, "-m", "heimdall_edge.drivers.soapy", "--list", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_devices_are_listed_one_json_object_a_line(module_folder):
    found = listed("driver=heimdallsim")
    assert found.returncode == 0
    (device,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert device["driver"] == "heimdallsim"
    assert device["label"] == "Heimdall simulator"


def test_where_nothing_is_found_nothing_is_listed(module_folder):
    found = listed("driver=nosuch")
    assert (found.returncode, found.stdout) == (0, "")


def test_a_host_without_soapysdr_lists_nothing_and_says_why(monkeypatch, capfd):
    def absent():
        raise SoapyError("libSoapySDR.so.0.8 not found")

    monkeypatch.setattr(soapy_calls, "_load", absent)
    descriptor = os.dup(1)
    try:
        assert list_devices("") == 1
    finally:
        os.dup2(descriptor, 1)
        os.close(descriptor)
    assert "libSoapySDR.so.0.8 not found" in capfd.readouterr().err


def test_a_host_without_soapysdr_is_no_reason_to_try_again(monkeypatch):
    def absent():
        raise SoapyError("libSoapySDR.so.0.8 not found")

    monkeypatch.setattr(soapy_calls, "_load", absent)
    with pytest.raises(RefusedError, match=r"libSoapySDR\.so\.0\.8 not found"):
        _opened("driver=lime")


# ── blocks ────────────────────────────────────────────────────────────────────────────────


class ScriptedStream:
    """Reads as they are written down: a status, or samples from a number on (one byte each part).

    Its time is the number of the sample, at 1 Msps.
    """

    def __init__(self, *script):
        self.script = list(script)

    def read(self, addresses, n_samples, *, timeout_s):
        step = self.script.pop(0)
        if isinstance(step, int):
            return Read(0, step)
        first, count = step
        assert count <= n_samples, "more than there is room for"
        for channel, address in enumerate(addresses):
            payload = bytes((first + i + 100 * channel) % 256 for i in range(count) for _ in "IQ")
            ctypes.memmove(address, payload, len(payload))
        return Read(count, 0, HAS_TIME, first * 1000)


class Outlet:
    def __init__(self):
        self.frames = []

    def offer(self, frame):
        self.frames.append(frame)
        return True


def believing():
    """A meter to which the time up to sample 0 has proved right, at 1 Msps."""
    meter = LossMeter(1e6)
    for time_ns in range(-3 * NS_PER_S, 0, NS_PER_S):
        meter.take(Read(1_000_000, 0, HAS_TIME, time_ns), time.monotonic_ns() + time_ns)
    return meter


def frames_of(*script, channels=(0,), ends_with=-2):
    """What comes of a script that ends with a broken stream."""
    outlet = Outlet()
    reception = Reception(
        ScriptedStream(*script, ends_with),
        outlet,
        channels=channels,
        losses=believing(),
        bytes_per_sample=2,
        block_samples=BLOCK,
    )
    with pytest.raises(SoapyError):
        reception.run()
    return outlet.frames


def numbers_of(frame):
    assert frame.kind is FrameKind.SAMPLES
    return list(frame.payload[::2])


def test_reads_of_any_length_become_blocks_of_one_length():
    frames = frames_of((0, 30), (30, 70), (100, 100))
    assert [numbers_of(frame) for frame in frames] == [list(range(100)), list(range(100, 200))]
    assert [frame.device_time_ns for frame in frames] == [0, 100_000]


def test_each_channel_has_frames_of_its_own():
    frames = frames_of((0, 100), channels=(3, 1))
    assert [frame.channel for frame in frames] == [3, 1]
    assert numbers_of(frames[1]) == list(range(100, 200))


def test_waiting_changes_nothing():
    (frame,) = frames_of((0, 50), TIMEOUT, TIMEOUT, (50, 50))
    assert numbers_of(frame) == list(range(100))


@pytest.mark.parametrize("status", [OVERFLOW, CORRUPTION])
def test_at_a_gap_the_block_so_far_goes_out_and_the_next_says_what_is_lost(status):
    frames = frames_of((0, 50), status, (57, 40), (97, 60))
    assert [numbers_of(frame) for frame in frames] == [list(range(50)), list(range(57, 157))]
    assert [frame.lost_samples for frame in frames] == [0, 7]
    assert frames[1].device_time_ns == 57_000


def test_a_gap_before_a_new_block_makes_no_empty_one():
    frames = frames_of((0, 100), OVERFLOW, (150, 100))
    assert [(len(frame.payload), frame.lost_samples) for frame in frames] == [(200, 0), (200, 50)]


def test_a_loss_of_unknown_length_is_flagged():
    frames = frames_of((0, 100), OVERFLOW, (100, 100))
    assert [frame.flags for frame in frames] == [0, FLAG_OVERFLOW]


@pytest.mark.parametrize(
    ("status", "message"),
    [(-2, "stream error"), (-5, "not supported"), (-6, "time error"), (-99, "status -99")],
)
def test_a_stream_that_is_broken_says_how(status, message):
    reception = Reception(
        ScriptedStream(status),
        Outlet(),
        channels=(0,),
        losses=believing(),
        bytes_per_sample=2,
        block_samples=BLOCK,
    )
    with pytest.raises(SoapyError, match=f"readStream: {message}"):
        reception.run()


def test_a_reception_that_is_stopped_reads_no_more():
    stream = ScriptedStream((0, 1))
    reception = Reception(
        stream,
        Outlet(),
        channels=(0,),
        losses=believing(),
        bytes_per_sample=2,
        block_samples=BLOCK,
    )
    reception.stop()
    reception.run()
    assert stream.script == [(0, 1)]
