from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import PayloadError, SourceDataError, SourceError
from heimdall_edge.sources.observations import ObservationFileSource, split_lines
from heimdall_edge.types import Observation, Place, ReceiverInfo
from tests.sources.contract import ObservationSourceContract

RECEIVER = ReceiverInfo("station", "rx1", Place(50.0, 9.0))


def parse(line: bytes) -> Observation:
    """A stand-in for the published format: ``{"id": …, "at_s": …}``."""
    try:
        values = json.loads(line)
        return Observation(
            observation_id=values["id"],
            receiver=RECEIVER,
            channel="c",
            frequency_hz=433.92e6,
            start_utc_ns=round(values["at_s"] * 1e9),
            duration_s=0.1,
            noise_floor_dbfs=-90.0,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PayloadError(str(error), field="id") from error


def line(name: str, at_s: float = 0.0) -> bytes:
    return json.dumps({"id": name, "at_s": at_s}).encode()


def source_of(folder: Path, content: bytes, **settings) -> ObservationFileSource:
    path = folder / "heard.jsonl"
    path.write_bytes(content)
    return ObservationFileSource(path=path, parse=parse, **settings)


def ids_of(source) -> list[str]:
    source.open()
    ids = [observation.observation_id for observation in source.observations()]
    source.close()
    return ids


class Pipe:
    """A named pipe that somebody writes to, and holds open."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pipe"
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR)

    def write(self, content: bytes) -> None:
        os.write(self._descriptor, content)

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def pipe(tmp_path):
    pipe = Pipe(tmp_path)
    yield pipe
    pipe.close()


@pytest.fixture
def standard_input():
    """The writing end of a pipe that is this process's standard input for a while."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    stream = os.fdopen(writing, "wb", buffering=0)
    yield stream
    stream.close()
    os.dup2(kept, 0)
    os.close(kept)


class TestFileKeepsTheContract(ObservationSourceContract):
    @pytest.fixture
    def observation_ids(self):
        return ["a", "b", "c"]

    @pytest.fixture
    def source(self, tmp_path):
        return source_of(tmp_path, b"\n".join(map(line, "abc")))

    @pytest.fixture
    def lasting_source(self, tmp_path):
        return source_of(tmp_path, line("a") + b"\n" + line("b", 3_600.0), pace="real_time")


class TestPipeKeepsTheContract(ObservationSourceContract):
    @pytest.fixture
    def observation_ids(self):
        return ["a"]

    @pytest.fixture
    def source(self, tmp_path):
        return source_of(tmp_path, line("a"))

    @pytest.fixture
    def lasting_source(self, pipe):
        pipe.write(line("a") + b"\n" + b'{"id": "unfinis')
        return ObservationFileSource(path=pipe.path, parse=parse)


class TestStandardInputKeepsTheContract(ObservationSourceContract):
    @pytest.fixture
    def observation_ids(self):
        return ["a"]

    @pytest.fixture
    def source(self, standard_input):
        standard_input.write(line("a"))
        standard_input.close()
        return ObservationFileSource(path=Path("-"), parse=parse)

    @pytest.fixture
    def lasting_source(self, standard_input):
        standard_input.write(line("a") + b"\n")
        return ObservationFileSource(path=Path("-"), parse=parse)


# ── lines ─────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.integers(1, 70))
def test_lines_do_not_depend_on_how_the_bytes_arrive(content, cuts, max_bytes):
    cuts = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[a:b] for a, b in pairwise(cuts)]
    lines = content.split(b"\n")
    expected = [one if len(one) <= max_bytes else None for one in lines[:-1]]
    if lines[-1]:
        expected.append(lines[-1] if len(lines[-1]) <= max_bytes else None)
    assert list(split_lines(chunks, max_bytes=max_bytes)) == expected


def test_a_line_without_an_end_takes_no_more_memory_than_the_longest_line():
    def endless():
        for _ in range(1_000):
            yield b"x" * 65_536
        yield b"\nshort"

    assert list(split_lines(endless(), max_bytes=1_000)) == [None, b"short"]


# ── observations ──────────────────────────────────────────────────────────────────────────


def test_a_last_line_without_a_line_break_is_read(tmp_path):
    assert ids_of(source_of(tmp_path, line("a") + b"\r\n" + line("b"))) == ["a", "b"]


def test_blank_lines_and_an_empty_file_are_no_fault(tmp_path):
    source = source_of(tmp_path, b"\n  \r\n" + line("a") + b"\n\n")
    assert ids_of(source) == ["a"]
    assert source.refused_lines == 0
    assert ids_of(source_of(tmp_path, b"")) == []


def test_malformed_lines_are_told_by_number_and_never_stop_the_rest(tmp_path):
    told = []
    content = b"\n".join(
        [line("a"), b"{", b"\xff\x00", b"", line("b"), b"x" * 300, b'{"id": 1}', line("c")[:-4]]
    )
    source = source_of(
        tmp_path,
        content,
        max_line_bytes=200,
        on_refused=lambda number, error: told.append((number, error)),
    )
    assert ids_of(source) == ["a", "b"]
    assert [number for number, _ in told] == [2, 3, 6, 7, 8]
    assert all(isinstance(error, PayloadError) for _, error in told)
    assert str(told[2][1]) == "longer than 200 bytes"
    assert source.refused_lines == 5


def test_without_anybody_to_tell_refused_lines_are_counted(tmp_path):
    source = source_of(tmp_path, b"{\n" + line("a"))
    assert ids_of(source) == ["a"]
    assert source.refused_lines == 1


def test_a_fault_of_the_parser_is_no_fault_of_the_line(tmp_path):
    def broken(content: bytes) -> Observation:
        raise ZeroDivisionError

    source = source_of(tmp_path, line("a"))
    source._parse = broken
    source.open()
    with pytest.raises(ZeroDivisionError):
        list(source.observations())


def test_in_real_time_observations_come_as_they_began(tmp_path):
    content = b"\n".join([line("a", 100.0), line("b", 100.1), line("c", 99.0)])
    source = source_of(tmp_path, content, pace="real_time")
    source.open()
    began_s = time.monotonic()
    after_s = [time.monotonic() - began_s for _ in source.observations()]
    assert len(after_s) == 3
    assert after_s[0] < 0.1 <= after_s[1]
    assert after_s[2] - after_s[1] < 0.1


def test_an_observation_is_given_before_the_next_one_arrives(pipe):
    source = ObservationFileSource(path=pipe.path, parse=parse)
    source.open()
    observations = source.observations()
    for name in "abc":
        pipe.write(line(name) + b"\n")
        assert next(observations).observation_id == name
    source.close()
    assert list(observations) == []


def test_half_a_line_at_closing_is_no_refused_line(pipe):
    source = ObservationFileSource(path=pipe.path, parse=parse)
    source.open()
    observations = source.observations()
    pipe.write(line("a") + b'\n{"id":')
    next(observations)
    source.close()
    assert list(observations) == []
    assert source.refused_lines == 0


def test_a_pipe_ends_when_its_writer_does(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    source = ObservationFileSource(path=tmp_path / "pipe", parse=parse)
    source.open()
    observations = source.observations()
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, line("a") + b"\n" + line("b"))
    assert next(observations).observation_id == "a"
    os.close(writer)
    assert [observation.observation_id for observation in observations] == ["b"]


def test_standard_input_stays_open_for_others(standard_input):
    standard_input.write(line("a"))
    standard_input.close()
    assert ids_of(ObservationFileSource(path=Path("-"), parse=parse)) == ["a"]
    assert os.fstat(0)


def test_a_missing_file_is_refused_when_it_is_opened(tmp_path):
    source = ObservationFileSource(path=tmp_path / "none.jsonl", parse=parse)
    with pytest.raises(SourceDataError, match=r"none\.jsonl: No such file .*; expected a file"):
        source.open()


def test_a_folder_cannot_be_read(tmp_path):
    source = ObservationFileSource(path=tmp_path, parse=parse)
    source.open()
    with pytest.raises(SourceError, match="Is a directory"):
        list(source.observations())


def test_reading_before_opening_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="observations are not open"):
        source_of(tmp_path, b"").observations()
