"""Publishing to a stream."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable

import pytest

from heimdall_edge.publish.payload_station import (
    InfoPayload,
    SoftwarePayload,
    StationPayload,
    StatsPayload,
)
from heimdall_edge.publish.schemas import MODELS
from heimdall_edge.publish.stdout import StdoutPublisher
from heimdall_edge.publish.wire_observation import parse_observation
from heimdall_edge.types import Fix, Observation, ReceiverState, ReceiverStatus


def publisher_to(stream: io.StringIO) -> StdoutPublisher:
    return StdoutPublisher(
        stream=stream, station="monte", utc_ns=lambda: 0, monotonic_s=lambda: 5.0
    )


def test_each_payload_is_a_line_that_says_its_schema(
    fix_of: Callable[..., Fix], observation_of: Callable[..., Observation]
) -> None:
    stream = io.StringIO()
    publisher = publisher_to(stream)
    publisher.start()
    publisher.publish_info(
        InfoPayload(software=SoftwarePayload(version="0.1"), station=StationPayload(name="monte"))
    )
    publisher.publish_receiver(ReceiverStatus("rx1", ReceiverState.RUNNING, 0))
    publisher.publish_observation(observation_of())
    publisher.publish_fix(fix_of())
    publisher.publish_stats(StatsPayload(station="monte", uptime_s=1.0))
    publisher.stop(1.0)
    lines = stream.getvalue().splitlines()
    payloads = [json.loads(line) for line in lines]
    assert [payload["schema"] for payload in payloads] == [
        "heimdall.info/1",
        "heimdall.receiver/1",
        "heimdall.observation/1",
        "heimdall.fix/1",
        "heimdall.stats/1",
    ]
    for payload in payloads:
        MODELS[payload["schema"]].model_validate(payload)
    assert parse_observation(lines[2]).observation_id == observation_of().observation_id
    assert publisher.state.is_connected
    assert publisher.state.acknowledged == {
        "info": 1, "receiver": 1, "observation": 1, "fix": 1, "stats": 1,
    }  # fmt: skip
    assert publisher.progress_monotonic_s == 5.0


def test_lines_of_several_threads_stay_whole(fix_of: Callable[..., Fix]) -> None:
    stream = io.StringIO()
    publisher = publisher_to(stream)
    threads = [
        threading.Thread(target=lambda: [publisher.publish_fix(fix_of(n)) for n in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 80


def test_a_reader_that_has_gone_ends_the_publishing(fix_of: Callable[..., Fix]) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        publisher_to(Broken()).publish_fix(fix_of())
