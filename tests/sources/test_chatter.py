"""What a driver's process writes to standard error."""

import os

import pytest

from heimdall_edge.sources.chatter import KEPT_BYTES, Chatter, readable


@pytest.fixture
def pipe():
    out, into = os.pipe()
    ends = {"out": out, "into": into}
    yield ends
    for end in ends.values():
        os.close(end)


def told_of(pipe, *pieces):
    chatter = Chatter()
    for piece in pieces:
        os.write(pipe["into"], piece)
        assert chatter.read(pipe["out"])
    return chatter.told


def test_nothing_said_is_nothing_told(pipe):
    assert told_of(pipe) == ""


def test_the_last_lines_are_told_however_they_came(pipe):
    said = told_of(pipe, b"one\ntwo\n\nth", b"ree\nfo", b"ur")
    assert said == "; it said: two | three | four"


def test_colours_and_bad_bytes_do_no_harm(pipe):
    assert told_of(pipe, b"\x1b[1;31mred\x1b[0m \xff\n") == "; it said: red \ufffd"


def test_a_line_without_end_is_cut(pipe):
    said = told_of(pipe, *[b"x" * KEPT_BYTES] * 12, b"\nlast\n")
    assert said.endswith(("| last", ": last"))
    assert len(said) < 1000


def test_its_end_is_told_apart_from_silence(pipe):
    chatter = Chatter()
    assert chatter.read(pipe["out"])
    os.close(pipe.pop("into"))
    assert not chatter.read(pipe["out"])


def test_what_can_be_read_is_found_without_waiting(pipe):
    assert readable([pipe["out"]], 0.0) == set()
    os.write(pipe["into"], b"x")
    assert readable([pipe["out"]], 60.0) == {pipe["out"]}
