"""The frames between a driver's process and the daemon."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.drivers.framing import (
    FLAG_OVERFLOW,
    HEADER,
    MAGIC,
    MAX_JSON_BYTES,
    MAX_SAMPLES_BYTES,
    Frame,
    FrameKind,
    FrameParser,
    FramingError,
)

SAMPLES = Frame(
    FrameKind.SAMPLES,
    bytes(range(200)),
    monotonic_ns=123_456_789_000,
    device_time_ns=42,
    lost_samples=7,
    dropped_samples=2**40,
    channel=1,
    flags=FLAG_OVERFLOW,
)
COUNTS = st.integers(0, 2**64 - 1)
INSTANTS = st.integers(-(2**63), 2**63 - 1)
FRAMES = st.builds(
    Frame,
    kind=st.sampled_from(FrameKind),
    payload=st.binary(max_size=300),
    monotonic_ns=INSTANTS,
    device_time_ns=st.none() | INSTANTS.filter(lambda ns: ns != -1),
    lost_samples=COUNTS,
    dropped_samples=COUNTS,
    channel=st.integers(0, 65_535),
    flags=st.integers(0, 255),
)


def parsed(*pieces):
    parser = FrameParser()
    found = []
    for piece in pieces:
        parser.feed(piece)
        found += parser
    return found


def header(*, magic=MAGIC, kind=FrameKind.SAMPLES, length=0):
    return HEADER.pack(magic, kind, 0, 0, 0, 0, 0, 0, length)


def test_a_header_is_as_long_as_its_drawing_says():
    assert HEADER.size == 48
    assert len(bytes(SAMPLES)) == 248


def test_a_frame_comes_back_as_it_was_sent():
    assert parsed(bytes(SAMPLES)) == [SAMPLES]


def test_an_event_comes_back_as_it_was_said():
    event = Frame.of_json(FrameKind.EVENT, {"tuned_hz": 446.1e6}, monotonic_ns=5)
    (found,) = parsed(bytes(event))
    assert found.json == {"tuned_hz": 446.1e6}
    assert found.monotonic_ns == 5


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(0, 1500), max_size=6))
def test_frames_come_back_however_the_bytes_are_cut(frames, cuts):
    whole = b"".join(map(bytes, frames))
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert parsed(*pieces) == frames


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_give_frames_or_a_framing_error(data):
    try:
        frames = parsed(data)
    except FramingError:
        return
    assert sum(HEADER.size + len(frame.payload) for frame in frames) <= len(data)


def test_a_parser_holds_no_more_than_an_unfinished_frame():
    parser = FrameParser()
    for _ in range(100):
        parser.feed(bytes(SAMPLES))
        assert list(parser) == [SAMPLES]
    assert len(parser) == 0


def test_what_came_before_garbage_is_given():
    parser = FrameParser()
    parser.feed(bytes(SAMPLES) + b"x" * 100)
    frames = iter(parser)
    assert next(frames) == SAMPLES
    with pytest.raises(FramingError, match=r"expected a frame's b'hEdF', found b'xxxx'"):
        next(frames)


@pytest.mark.parametrize("kind", [0, 5, 255])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(FramingError, match=f"unknown kind {kind}"):
        parsed(header(kind=kind))


@pytest.mark.parametrize(
    ("kind", "limit"),
    [(FrameKind.SAMPLES, MAX_SAMPLES_BYTES), (FrameKind.HELLO, MAX_JSON_BYTES)],
)
def test_a_payload_beyond_the_limit_is_refused_before_it_comes(kind, limit):
    assert parsed(header(kind=kind, length=limit)) == []
    with pytest.raises(FramingError, match=f"{kind.name} frame of {limit + 1} bytes"):
        parsed(header(kind=kind, length=limit + 1))


def test_a_payload_beyond_the_limit_is_not_sent():
    with pytest.raises(FramingError):
        bytes(Frame(FrameKind.EVENT, bytes(MAX_JSON_BYTES + 1)))


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 60_000])
def test_what_is_no_json_object_is_refused(payload):
    with pytest.raises(FramingError, match="EVENT frame"):
        _ = Frame(FrameKind.EVENT, payload).json


@pytest.mark.parametrize("part", ["framing", "outlet", "parent"])
def test_a_drivers_process_imports_no_numpy(part):
    program = (
        f"import sys, json, heimdall_edge.drivers.{part};"
        "print(json.dumps([m for m in sys.modules if m.startswith(('numpy', 'heimdall'))]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    for module in json.loads(run.stdout):
        assert module == "heimdall_edge" or module.startswith("heimdall_edge.drivers")
