"""What is sent when, shown with a link that does what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.broker import Acknowledged, LinkDown, LinkUp
from heimdall_edge.publish.clocks import Clocks
from heimdall_edge.publish.delivery import Delivery, Departure, Puback
from heimdall_edge.publish.message import Message
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.retained import Retained
from heimdall_edge.publish.topics import Topics
from heimdall_edge.types import NS_PER_S

FIX, OBSERVATION = "heimdall/v1/monte/fix", "heimdall/v1/monte/observation"
LAST = "heimdall/v1/monte/fix/last/r1"
NOT_AUTHORIZED, TOPIC_INVALID, QUOTA = 135, 144, 151


@dataclass
class ScriptedLink:
    """Takes messages while it is open; remembers them by message id."""

    is_open: bool = True
    sent: dict[int, Message] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, **options: Any) -> int | None:
        if not self.is_open:
            return None
        mid = len(self.sent) + 1
        self.sent[mid] = Message("", topic, payload, **options)
        return mid

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)


@dataclass
class Bench:
    """A delivery, its surroundings, and a clock that the test turns."""

    delivery: Delivery
    link: ScriptedLink
    outbox: Outbox
    now_s: float = 1000.0
    pubacks: list[Puback] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def store(self, *fix_numbers: int, topic: str = FIX) -> None:
        kind = "fix" if topic == FIX else "observation"
        self.delivery.store(
            [
                Departure(
                    Message(kind, topic, json.dumps({"fix_id": n, "channel": "r1"}).encode()),
                    called_s=self.now_s,
                    window_closed_s=self.now_s - 0.5,
                )
                for n in fix_numbers
            ]
        )

    def up(self, **limits: int) -> None:
        self.delivery.react([LinkUp(**limits)])
        self.delivery.send()

    def acknowledge(self, *mids: int, code: int = 0, reason: str = "Success") -> None:
        self.delivery.react([Acknowledged(mid, code, reason) for mid in mids])
        self.delivery.send()

    def on(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in self.link.sent.values() if m.topic == topic]

    def fixes(self) -> list[int]:
        return [payload["fix_id"] for payload in self.on(FIX)]

    def depth(self) -> int:
        return self.outbox.state(now_ns=0).depth


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        link = ScriptedLink()
        outbox = options.pop("outbox", None) or Outbox(tmp_path / "outbox.sqlite")
        bench = Bench(None, link, outbox)  # type: ignore[arg-type]
        clocks = Clocks(
            utc_ns=lambda: round(bench.now_s * NS_PER_S), monotonic_s=lambda: bench.now_s
        )
        bench.delivery = Delivery(
            topics=Topics(station="monte"),
            outbox=outbox,
            link=link,  # type: ignore[arg-type]
            clocks=clocks,
            on_puback=bench.pubacks.append,
            on_refused=bench.refusals.append,
            **{
                "in_flight": 20,
                "fix_last_expiry_s": 600,
                "ack_timeout_s": 60.0,
                "pause_s": (60.0, 3600.0),
                **options,
            },
        )
        outbox.open(now_ns=clocks.steady_ns())
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.outbox.close()


def test_no_more_is_under_way_than_the_window_holds(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(in_flight=3)
    bench.up()
    bench.store(*range(10))
    bench.delivery.send()
    bench.delivery.send()
    assert bench.fixes() == [0, 1, 2]
    bench.acknowledge(2)
    assert bench.fixes() == [0, 1, 2, 3]
    assert bench.depth() == 9
    assert not bench.delivery.is_idle


def test_the_broker_may_want_fewer(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.up(receive_maximum=2)
    bench.store(*range(5))
    bench.delivery.send()
    assert bench.fixes() == [0, 1]


def test_what_waited_for_the_connection_is_replayed_oldest_first(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of()
    bench.store(0, 1)
    assert bench.fixes() == []
    bench.up()
    bench.store(2)
    bench.delivery.send()
    assert [(f["fix_id"], f["replayed"]) for f in bench.on(FIX)] == [
        (0, True), (1, True), (2, False),
    ]  # fmt: skip


def test_what_was_under_way_when_the_connection_broke_is_sent_again(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0, 1, 2)
    bench.delivery.send()
    bench.acknowledge(1)
    bench.delivery.react([LinkDown("lost")])
    assert bench.delivery.is_idle
    assert not bench.delivery.is_up
    bench.store(3)
    bench.up()
    assert [(f["fix_id"], f["replayed"]) for f in bench.on(FIX)][3:] == [
        (1, True), (2, True), (3, True),
    ]  # fmt: skip
    assert bench.delivery.state(inbox_dropped=0).is_connected


def test_a_late_word_of_an_earlier_connection_means_nothing(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0)
    bench.delivery.send()
    bench.delivery.react([LinkDown("lost")])
    bench.acknowledge(1)
    assert bench.depth() == 1


def test_a_connection_that_is_gone_unnoticed_loses_nothing(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.up()
    bench.link.is_open = False
    bench.store(0)
    bench.delivery.station.put(Retained("info", "i", lambda: b"{}"))
    bench.delivery.send()
    assert bench.fixes() == []
    bench.link.is_open = True
    bench.delivery.send()
    assert bench.fixes() == [0]
    assert any(m.topic == "i" for m in bench.link.sent.values())


def test_the_latest_fix_is_retained_for_its_time(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(in_flight=2)
    bench.up()
    bench.store(0, 1, 2)
    bench.delivery.send()
    assert bench.on(LAST) == []  # the window is for what was not sent yet
    bench.acknowledge(1, 2)
    (last,) = bench.on(LAST)
    assert last["fix_id"] == 2
    assert last["expires_at"] == "1970-01-01T00:26:40.000000Z"
    message = next(m for m in bench.link.sent.values() if m.topic == LAST)
    assert (message.qos, message.retain, message.expiry_s) == (1, True, 600)
    assert not any(m.retain for m in bench.link.sent.values() if m.topic == FIX)

    bench.acknowledge(3, 4)
    bench.now_s += 200.5
    bench.delivery.react([LinkDown("lost")])
    bench.up()
    again = [m for m in bench.link.sent.values() if m.topic == LAST][-1]
    assert again.expiry_s == 400
    bench.now_s += 400
    bench.delivery.react([LinkDown("lost")])
    bench.up()
    assert len(bench.on(LAST)) == 2


def test_a_fix_that_is_sent_again_does_not_replace_a_later_one(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0, 1)
    bench.delivery.send()
    bench.acknowledge(2)
    bench.delivery.react([LinkDown("lost")])
    bench.up()
    assert bench.fixes() == [0, 1, 0]
    assert [last["fix_id"] for last in bench.on(LAST)] == [1, 1]


def test_the_time_from_call_to_puback_is_told(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.store(0)
    bench.up()
    bench.store(1)
    bench.now_s += 0.25
    bench.delivery.send()
    bench.now_s += 1.0
    bench.acknowledge(1, 2, 3)
    replayed, last, fresh = (
        bench.pubacks
        if bench.pubacks[1].kind == "fix_last"
        else [bench.pubacks[0], bench.pubacks[2], bench.pubacks[1]]
    )
    assert (replayed.kind, replayed.latency_s, replayed.since_call_s) == ("fix", 1.25, None)
    assert last.kind == "fix_last"
    assert (fresh.latency_s, fresh.since_call_s, fresh.since_window_s) == (1.0, 1.25, 1.75)
    assert bench.on(FIX)[1]["published_at"] == "1970-01-01T00:16:40.250000Z"
    state = bench.delivery.state(inbox_dropped=4)
    assert state.acknowledged["fix"] == 2
    assert state.last_ack_monotonic_s == bench.now_s
    assert state.inbox_dropped == 4


@pytest.mark.parametrize("code", [NOT_AUTHORIZED, QUOTA, 128])
def test_a_topic_that_is_refused_is_left_alone_and_others_go_on(
    bench_of: Callable[..., Bench], code: int
) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0)
    bench.delivery.send()
    bench.acknowledge(1, code=code, reason="Not authorized")
    bench.store(1)
    bench.store(7, topic=OBSERVATION)
    bench.delivery.send()
    assert bench.fixes() == [0]
    assert len(bench.on(OBSERVATION)) == 1
    assert bench.refusals == ["Not authorized"]
    assert bench.depth() == 3

    bench.now_s += 61
    bench.delivery.send()
    assert bench.fixes() == [0, 0, 1]
    assert bench.delivery.state(inbox_dropped=0).refused == {"Not authorized": 1}


def test_a_new_connection_tries_a_refused_topic_again(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0)
    bench.delivery.send()
    bench.acknowledge(1, code=NOT_AUTHORIZED, reason="Not authorized")
    bench.delivery.react([LinkDown("broker restarted")])
    bench.up()
    assert bench.fixes() == [0, 0]


def test_a_retained_topic_that_is_refused_is_said_again_later(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of()
    bench.delivery.station.put(Retained("info", "i", lambda: b"{}"))
    bench.up()
    bench.acknowledge(1, code=NOT_AUTHORIZED, reason="Not authorized")
    assert len(bench.link.sent) == 1
    bench.now_s += 61
    bench.delivery.send_station()
    assert len(bench.link.sent) == 2


def test_what_will_never_be_taken_is_given_up_and_counted(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.up()
    bench.store(0)
    bench.delivery.send()
    bench.acknowledge(1, code=TOPIC_INVALID, reason="Topic name invalid")
    assert bench.depth() == 0
    assert bench.refusals == ["Topic name invalid"]


def test_a_message_too_large_for_the_broker_is_given_up_before_it_breaks_the_connection(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of()
    bench.up(maximum_packet_bytes=300)
    bench.delivery.store(
        [Departure(Message("observation", OBSERVATION, b'{"x":"%s"}' % (b"x" * 300)), 0.0)]
    )
    bench.store(1)
    bench.delivery.send()
    assert bench.fixes() == [1]
    assert bench.on(OBSERVATION) == []
    assert bench.refusals == ["Packet too large"]
    assert bench.depth() == 1


def test_a_broker_that_acknowledges_nothing_is_left(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(ack_timeout_s=60.0)
    bench.up()
    bench.store(0)
    bench.delivery.send()
    bench.now_s += 59
    bench.delivery.keep_up()
    assert bench.link.dropped == []
    bench.now_s += 2
    bench.delivery.keep_up()
    assert bench.link.dropped == ["no PUBACK for 60 s"]


def test_what_cannot_be_written_is_counted_and_does_not_stop_the_rest(
    bench_of: Callable[..., Bench],
) -> None:
    def fail() -> bytes:
        raise PayloadError("not finite", field="gain_db")

    bench = bench_of()
    bench.delivery.station.put(Retained("receiver", "bad", fail))
    bench.delivery.station.put(Retained("info", "good", lambda: b"{}"))
    bench.up()
    assert [m.topic for m in bench.link.sent.values()] == ["good"]
    assert bench.refusals == ["unpublishable"]


def test_the_station_speaks_again_when_the_outbox_leaves_or_regains_its_disk(
    bench_of: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = bench_of(outbox=Outbox(tmp_path / "later" / "outbox.sqlite"))
    bench.delivery.station.put(Retained("availability", "a", lambda: b"online"))
    bench.delivery.station.put(Retained("info", "i", lambda: b"{}"))
    bench.up()
    bench.acknowledge(1, 2)

    def said() -> list[str]:
        bench.delivery.keep_up()
        bench.delivery.send()
        return [m.topic for m in bench.link.sent.values()][2:]

    assert said() == ["i"]
    (tmp_path / "later").mkdir()
    bench.now_s += 10
    assert said() == ["i", "i"]
    assert bench.outbox.state(now_ns=0).on_disk


def test_without_a_connection_what_is_sent_once_is_not_sent(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    bench.link.is_open = False
    bench.delivery.send_once(Message("stats", "s", b"{}", qos=0))
    bench.link.is_open = True
    bench.delivery.send_once(Message("stats", "s", b"{}", qos=0))
    assert len(bench.link.sent) == 1
    assert bench.delivery.is_idle
