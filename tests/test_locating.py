"""The locator thread: whose time it goes by, and what becomes of what feeds say."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from heimdall_edge.fifo import Fifo
from heimdall_edge.locate.associate import Associator
from heimdall_edge.locating import FeedTime, LocatorThread, SceneTime, Word
from heimdall_edge.metrics import Metrics
from heimdall_edge.types import (
    NS_PER_S,
    ErrorCircle,
    ErrorEllipse,
    Fix,
    Listening,
    ModelIdentity,
    Observation,
    Place,
    Position,
    ReceiverInfo,
    Scene,
)

MODEL = ModelIdentity("m", "1", "0" * 64)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class TestSceneTime:
    def test_is_unknown_until_somebody_speaks(self):
        assert SceneTime([FeedTime("r", True)], monotonic=Clock()).now_utc_ns() is None

    def test_of_radios_is_the_newest_word_and_the_time_since(self):
        clock = Clock()
        time = SceneTime([FeedTime("a", True), FeedTime("b", True)], monotonic=clock)
        time.heard_from("a", 10 * NS_PER_S)
        clock.now_s += 2.5
        time.heard_from("b", 9 * NS_PER_S)
        assert time.now_utc_ns() == round(12.5 * NS_PER_S)

    def test_of_files_is_where_the_slowest_is_however_long_that_takes(self):
        clock = Clock()
        time = SceneTime([FeedTime("a", False), FeedTime("b", False)], monotonic=clock)
        time.heard_from("a", 10 * NS_PER_S)
        assert time.now_utc_ns() is None
        time.heard_from("b", 3 * NS_PER_S)
        clock.now_s += 1000
        assert time.now_utc_ns() == 3 * NS_PER_S
        time.ended("b")
        assert time.now_utc_ns() == 10 * NS_PER_S
        time.ended("a")
        assert time.now_utc_ns() == 10 * NS_PER_S


def wait_until(holds: Callable[[], bool], *, within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.005)


def receiver(name: str) -> ReceiverInfo:
    return ReceiverInfo("s", name, Place(45.0, 7.0))


def heard(name: str, start_s: float, *, latitude_deg: float = 45.0) -> Observation:
    return Observation(
        observation_id=f"{name}-{start_s}",
        receiver=ReceiverInfo("s", name, Place(latitude_deg, 7.0)),
        channel="a",
        frequency_hz=446e6,
        start_utc_ns=round((1000 + start_s) * NS_PER_S),
        duration_s=1.0,
        noise_floor_dbfs=-90.0,
        level_dbfs=-50.0,
        detected_monotonic_s=1.0,
    )


def listened(name: str, until_s: float) -> Listening:
    return Listening(
        receiver(name), 1000 * NS_PER_S, round((1000 + until_s) * NS_PER_S), {"a": -80.0}
    )


@dataclass
class FakePublisher:
    fixes: list[Fix] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    def publish_fix(self, fix: Fix) -> None:
        self.fixes.append(fix)

    def publish_observation(self, observation: Observation) -> None:
        self.observations.append(observation)


class FakeLocator:
    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason

    def locate(self, scene: Scene) -> Fix:
        position = Position(
            45.0, 7.0, (1.0, 0.0, 1.0), ErrorEllipse(2, 1, 0, 0.95), ErrorCircle(2, 0.95), 1.0
        )
        return Fix(
            fix_id="f", station="s", scene=scene, position=None if self.reason else position,
            reason=self.reason, method=None if self.reason else "rss", model=MODEL,
        )  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def run(words: list[Word], metrics: Metrics, locator: Any = None, **feeds: bool) -> FakePublisher:
    """Let a locator thread work off some words, and end."""
    publisher = FakePublisher()
    associator = Associator()
    for name, follows_clock in feeds.items():
        if not follows_clock:
            associator.expect(("s", name), ["a"])
    thread = LocatorThread(
        station="s",
        associator=associator,
        locator=locator or FakeLocator(),
        publisher=publisher,  # type: ignore[arg-type]
        metrics=metrics,
        feeds=[FeedTime(name, follows) for name, follows in feeds.items()],
    )
    for word in words:
        thread.inbox.offer(word)
    thread.inbox.close()
    thread.thread.start()
    thread.thread.join(10)
    assert not thread.thread.is_alive()
    return publisher


def test_what_two_receivers_heard_becomes_one_fix_with_the_silent_third(metrics):
    words = [
        Word("r1", heard("r1", 1.0)),
        Word("r2", heard("r2", 1.05)),
        Word("r1", listened("r1", 9.0)),
        Word("r2", listened("r2", 9.0)),
        Word("r3", listened("r3", 9.0)),
        *(Word(name, None) for name in ("r1", "r2", "r3")),
    ]
    publisher = run(words, metrics, r1=False, r2=False, r3=False)
    assert len(publisher.observations) == 2
    (fix,) = publisher.fixes
    states = [(o.receiver.receiver_id, o.heard) for o in fix.scene.observations]
    assert states == [("r1", True), ("r2", True), ("r3", False)]
    value = metrics.registry.get_sample_value
    assert value("heimdall_edge_fixes_total", {"channel": "a", "outcome": "rss"}) == 1.0
    assert value("heimdall_edge_window_to_fix_duration_seconds_count") == 1.0


def test_a_refusal_is_published_and_counted_by_its_reason(metrics):
    words = [Word("r1", heard("r1", 1.0)), Word("r1", None)]
    publisher = run(words, metrics, FakeLocator("too_few_receivers"), r1=False)
    assert publisher.fixes[0].reason == "too_few_receivers"
    labels = {"channel": "a", "outcome": "too_few_receivers"}
    assert metrics.registry.get_sample_value("heimdall_edge_fixes_total", labels) == 1.0


def test_what_is_left_out_of_scenes_is_counted_once(metrics):
    words = [
        Word("r1", heard("r1", 1.0)),
        Word("r1", heard("r1", 1.0)),
        Word("r0", heard("r0", 1.0, latitude_deg=float("nan"))),
        Word("r1", heard("r1", 5.0)),
        Word("r1", None),
    ]
    run(words, metrics, r1=False)
    value = metrics.registry.get_sample_value
    for reason in ("duplicate", "absurd_place"):
        labels = {"reason": reason}
        assert value("heimdall_edge_observations_refused_total", labels) == 1.0, reason


def test_a_swapped_locator_answers_the_next_scene(metrics):
    publisher = FakePublisher()
    thread = LocatorThread(
        station="s",
        associator=Associator(),
        locator=FakeLocator(),  # type: ignore[arg-type]
        publisher=publisher,  # type: ignore[arg-type]
        metrics=metrics,
        feeds=[FeedTime("r1", False)],
    )
    thread.swap(FakeLocator("model_error"))  # type: ignore[arg-type]
    assert isinstance(thread.inbox, Fifo)
    thread.inbox.offer(Word("r1", heard("r1", 1.0)))
    thread.inbox.close()
    thread.thread.start()
    thread.thread.join(10)
    assert publisher.fixes[0].reason == "model_error"


def test_a_clock_that_is_set_back_ends_what_is_open_and_scenes_gather_again(metrics):
    publisher, clock = FakePublisher(), {"utc_s": 5000.0}
    thread = LocatorThread(
        station="s",
        associator=Associator(wait_s=60.0),
        locator=FakeLocator(),  # type: ignore[arg-type]
        publisher=publisher,  # type: ignore[arg-type]
        metrics=metrics,
        feeds=[FeedTime("r1", True), FeedTime("r2", True)],
        monotonic=lambda: 7.0,
        utc_ns=lambda: round(clock["utc_s"] * NS_PER_S),
    )

    def take(name: str, start_s: float) -> None:
        n_before = len(publisher.observations)
        thread.inbox.offer(Word(name, heard(name, start_s)))
        wait_until(lambda: len(publisher.observations) > n_before)

    thread.thread.start()
    take("r1", 4000.0)
    assert publisher.fixes == []
    clock["utc_s"] -= 3600.0
    wait_until(lambda: len(publisher.fixes) == 1)
    take("r1", 400.0)
    take("r2", 400.1)
    thread.inbox.close()
    thread.thread.join(10)
    scenes = [[o.receiver.receiver_id for o in fix.scene.heard] for fix in publisher.fixes]
    assert scenes == [["r1"], ["r1", "r2"]]
    assert metrics.registry.get_sample_value("heimdall_edge_clock_steps_total") == 1.0
