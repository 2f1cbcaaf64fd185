"""The driver's end of the pipe."""

import os
import threading
from itertools import pairwise

import pytest

from heimdall_edge.drivers.framing import Frame, FrameKind, FrameParser
from heimdall_edge.drivers.outlet import Outlet

BUFFER_BYTES = 32_768
BUFFER_SAMPLES = BUFFER_BYTES // 2


def buffer(number, **fields):
    return Frame(FrameKind.SAMPLES, bytes([number % 256]) * BUFFER_BYTES, number, **fields)


class Reader:
    """The parent's end of a pipe."""

    def __init__(self, descriptor):
        self._descriptor, self._parser = descriptor, FrameParser()

    def rest(self):
        frames = []
        while data := os.read(self._descriptor, 65_536):
            self._parser.feed(data)
            frames += self._parser
        assert len(self._parser) == 0, "the last frame is whole"
        return frames


@pytest.fixture
def pipe():
    out, into = os.pipe()
    yield out, into
    for end in (out, into):
        try:
            os.close(end)
        except OSError:
            assert end == into, "only the writing end is closed by tests"


def outlet_on(pipe, **limits):
    return Outlet(pipe[1], bytes_per_sample=2, **limits)


def test_what_is_offered_and_said_comes_out_in_order(pipe):
    outlet = outlet_on(pipe)
    outlet.say(FrameKind.HELLO, {"device": "a"})
    assert outlet.offer(buffer(1, channel=3, device_time_ns=9))
    outlet.say(FrameKind.EVENT, {"tuned_hz": 1})
    frames = []
    reader = threading.Thread(target=lambda: frames.extend(Reader(pipe[0]).rest()))
    reader.start()
    assert outlet.close(timeout_s=5)
    os.close(pipe[1])
    reader.join(5)
    assert [frame.kind.name for frame in frames] == ["HELLO", "SAMPLES", "EVENT"]
    assert frames[1] == buffer(1, channel=3, device_time_ns=9)


def test_a_full_pipe_drops_whole_buffers_and_says_exactly_how_many_samples(pipe):
    outlet = outlet_on(pipe, max_queued_bytes=3 * BUFFER_BYTES)
    accepted = [outlet.offer(buffer(number)) for number in range(40)]
    assert not accepted[-1], "nobody reads: an offer returns at once all the same"
    frames = []
    reader = threading.Thread(target=lambda: frames.extend(Reader(pipe[0]).rest()))
    reader.start()
    while not outlet.offer(buffer(40)):
        accepted.append(False)
    assert outlet.close(timeout_s=5)
    os.close(pipe[1])
    reader.join(5)
    assert len(frames) == sum(accepted) + 1
    assert frames[-1].dropped_samples == accepted.count(False) * BUFFER_SAMPLES
    for before, frame in pairwise(frames[:-1]):
        missing = frame.monotonic_ns - before.monotonic_ns - 1
        assert frame.dropped_samples == missing * BUFFER_SAMPLES


def test_losses_that_the_driver_knew_of_before_a_dropped_buffer_are_not_forgotten(pipe):
    outlet = outlet_on(pipe, max_queued_bytes=BUFFER_BYTES - 1)
    assert not outlet.offer(buffer(1, lost_samples=5))
    assert not outlet.offer(buffer(2, lost_samples=6, channel=1))
    assert outlet.offer(Frame(FrameKind.SAMPLES, bytes(100), lost_samples=10))
    assert outlet.close(timeout_s=5)
    os.close(pipe[1])
    (frame,) = Reader(pipe[0]).rest()
    assert (frame.lost_samples, frame.dropped_samples) == (15, BUFFER_SAMPLES)


def test_a_reader_that_is_gone_is_noticed_and_nothing_piles_up(pipe):
    out, into = pipe
    os.close(out)
    outlet = Outlet(into, bytes_per_sample=2, max_queued_bytes=BUFFER_BYTES)
    outlet.say(FrameKind.EVENT, {})
    assert outlet.reader_gone.wait(5)
    for number in range(10):
        assert outlet.offer(buffer(number)), "no room was taken"
    assert outlet.close(timeout_s=5)
    os.dup2(into, out)  # for the fixture, which closes both


def test_a_writer_that_is_stuck_does_not_hold_up_the_end(pipe):
    outlet = outlet_on(pipe)
    for number in range(4):
        outlet.offer(buffer(number))
    assert not outlet.close(timeout_s=0.05)
    reader = threading.Thread(target=Reader(pipe[0]).rest)
    reader.start()
    assert outlet.close(timeout_s=5)
    os.close(pipe[1])
    reader.join(5)
