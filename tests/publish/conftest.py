"""A real mosquitto of one's own, a subscriber to it, and things to publish."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heimdall_edge.ellipse import error_circle, error_ellipse
from heimdall_edge.publish.broker import Broker
from heimdall_edge.publish.mqtt import MqttPublisher
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.topics import Topics
from heimdall_edge.types import (
    NS_PER_S,
    ArrivalTime,
    ClockSource,
    ClockState,
    Fix,
    IQSnippet,
    Mel,
    ModelIdentity,
    Observation,
    Place,
    Position,
    ReceiverInfo,
    SampleCount,
    Scene,
    frozen_array,
)

START_UTC_NS = 1_790_000_000 * NS_PER_S


@pytest.fixture(autouse=True)
def databases_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test leaves open on purpose (a crash, say): Python 3.13 warns of it."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    yield
    for connection in opened:
        connection.close()


# ── things to publish ─────────────────────────────────────────────────────────────────────


def make_observation(index: int = 0, **changes: Any) -> Observation:
    receiver = ReceiverInfo(
        station="monte",
        receiver_id=f"rx{index}",
        place=Place(45.0 + index / 10, 7.0 + index / 10, 300.0, 12.0),
        level_offset_db=1.5,
        level_offset_sd_db=4.0,
    )
    observation = Observation(
        observation_id=f"{index:016x}",
        receiver=receiver,
        channel="r1",
        frequency_hz=145_600_000.0,
        start_utc_ns=START_UTC_NS + 123_456_000,
        duration_s=1.5,
        noise_floor_dbfs=-92.5,
        level_dbfs=-60.25 - index,
        gain_db=20.7,
        snr_db=32.0,
        bandwidth_hz=11_000.0,
        frequency_offset_hz=-120.5,
        count=SampleCount(received=3_600_000, lost=10, dropped=20, clipped=36),
        clipped_fraction=1e-5,
        clock=ClockState(ClockSource.GNSS, 1e-7, locked=True),
        mel=Mel(frozen_array(np.linspace(-10, 60, 12, dtype=np.float32).reshape(4, 3))),
        snippet=IQSnippet(
            frozen_array(np.exp(2j * np.pi * np.arange(64) / 7).astype(np.complex64)),
            12_000.0,
            START_UTC_NS + 123_456_789,
        ),
        detected_monotonic_s=time.monotonic(),
    )
    return replace(observation, **changes)


def make_fix(number: int = 0, **changes: Any) -> Fix:
    observations = tuple(make_observation(i) for i in range(3))
    scene = Scene(
        channel="r1",
        frequency_hz=145_600_000.0,
        start_utc_ns=START_UTC_NS + number * NS_PER_S,
        duration_s=1.5,
        observations=observations,
        arrivals=(ArrivalTime(0.0, 0.3), ArrivalTime(12.5, 0.4, is_outlier=True), None),
    )
    covariance = (90_000.0, 20_000.0, 40_000.0)
    fix = Fix(
        fix_id=f"fix-{number:06d}",
        station="monte",
        scene=scene,
        position=Position(
            45.123456,
            7.654321,
            covariance,
            error_ellipse(covariance, 0.95),
            error_circle(covariance, 0.95),
            confidence=0.87,
        ),
        reason=None,
        method="rss+tdoa",
        model=ModelIdentity("physics", "1.0.0", "0" * 64),
        ood=0.1,
        inference_time_s=0.0032,
        latency_s={"detect": 0.01, "features": 0.002, "infer": 0.0032},
    )
    return replace(fix, **changes)


def make_refusal(number: int = 0) -> Fix:
    return make_fix(number, position=None, reason="too_few_receivers", method=None)


@pytest.fixture(scope="session")
def fix_of() -> Callable[..., Fix]:
    return make_fix


@pytest.fixture(scope="session")
def refusal_of() -> Callable[..., Fix]:
    return make_refusal


@pytest.fixture(scope="session")
def observation_of() -> Callable[..., Observation]:
    return make_observation


# ── the publisher ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def publisher_of(tmp_path: Path) -> Iterator[Callable[..., MqttPublisher]]:
    """A port, and changes → a publisher of the station ``monte``, not yet started."""
    made: list[MqttPublisher] = []

    def make(port: int, *, broker: dict[str, Any] | None = None, **options: Any) -> MqttPublisher:
        outbox = options.pop("outbox", None) or Outbox(tmp_path / "outbox.sqlite")
        link = {"host": "127.0.0.1", "port": port, "client_id": "heimdall-monte"}
        made.append(
            MqttPublisher(
                broker=Broker(**{**link, **(broker or {})}),
                topics=Topics(station="monte"),
                outbox=outbox,
                **{"backoff_s": (0.02, 0.1), **options},
            )
        )
        return made[-1]

    yield make
    for publisher in made:
        publisher.stop(2.0)
