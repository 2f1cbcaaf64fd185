"""The connection, with a real broker, and with what only claims to be one."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heimdall_edge.errors import ConfigError
from heimdall_edge.publish.broker import Acknowledged, Broker, LinkDown, LinkEvent, LinkUp, Will
from heimdall_edge.publish.link import Link

PATIENCE_S = 20.0
TOPIC = "heimdall/v1/monte/test"


class Watched:
    """A link, and what it reports."""

    def __init__(self, **broker: Any) -> None:
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self.link = Link(
            broker=Broker(**{"host": "127.0.0.1", "client_id": "heimdall-test", **broker}),
            will=Will("heimdall/v1/monte/availability", b"offline"),
            on_event=self.events.put,
            backoff_s=(0.02, 0.05),
        )

    def next(self, kind: type[LinkEvent]) -> Any:
        """The next event of a kind; others are passed over."""
        while True:
            event = self.events.get(timeout=PATIENCE_S)
            if isinstance(event, kind):
                return event


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(**broker: Any) -> Watched:
        made.append(Watched(**broker))
        made[-1].link.start()
        return made[-1]

    yield make
    for watched in made:
        assert watched.link.stop(PATIENCE_S), "the link's thread did not end"


class Impostor:
    """A port that accepts one connection after another, and treats each as the test says."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._treat = treat
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE_S)
                self._treat(connection)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def impostor_of() -> Iterator[Callable[..., Impostor]]:
    made: list[Impostor] = []

    def make(treat: Callable[[socket.socket], None]) -> Impostor:
        made.append(Impostor(treat))
        return made[-1]

    yield make
    for impostor in made:
        impostor.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_link_comes_up_and_messages_are_acknowledged(
    mosquitto: Any, watch: Callable[..., Watched], protocol: str
) -> None:
    watched = watch(port=mosquitto.port, protocol=protocol)
    up = watched.next(LinkUp)
    assert up.receive_maximum >= 1
    mid = watched.link.publish(TOPIC, b"x", qos=1, retain=False, expiry_s=60)
    assert watched.next(Acknowledged).mid == mid


def test_before_it_is_up_nothing_is_taken(watch: Callable[..., Watched]) -> None:
    watched = watch(port=1)
    assert watched.link.publish(TOPIC, b"x", qos=1, retain=False) is None


def test_a_port_where_nobody_listens_is_named(watch: Callable[..., Watched]) -> None:
    watched = watch(port=1)
    assert watched.next(LinkDown).reason.startswith("127.0.0.1:1: ")
    assert watched.next(LinkDown)  # and again


def test_a_host_that_does_not_exist_is_named(watch: Callable[..., Watched]) -> None:
    watched = watch(host="broker.invalid", port=1883)
    assert watched.next(LinkDown).reason.startswith("broker.invalid:1883: ")


def test_a_broker_that_goes_and_comes_is_connected_again(
    mosquitto: Any, watch: Callable[..., Watched]
) -> None:
    watched = watch(port=mosquitto.port)
    watched.next(LinkUp)
    mosquitto.stop(9)
    assert watched.next(LinkDown).reason
    assert watched.link.publish(TOPIC, b"x", qos=1, retain=False) is None
    mosquitto.start()
    watched.next(LinkUp)
    assert watched.link.publish(TOPIC, b"x", qos=1, retain=False) is not None
    watched.next(Acknowledged)


def test_a_link_that_is_dropped_says_why_and_comes_back(
    mosquitto: Any, watch: Callable[..., Watched]
) -> None:
    watched = watch(port=mosquitto.port)
    watched.next(LinkUp)
    watched.link.drop("no PUBACK for 60 s")
    assert watched.next(LinkDown).reason == "no PUBACK for 60 s"
    watched.next(LinkUp)


def test_another_client_of_the_same_id_ends_the_connection_and_it_is_made_again(
    mosquitto: Any, watch: Callable[..., Watched]
) -> None:
    first = watch(port=mosquitto.port)
    first.next(LinkUp)
    watch(port=mosquitto.port)
    assert first.next(LinkDown).reason
    first.next(LinkUp)


def test_a_broker_that_says_goodbye_is_quoted(
    impostor_of: Callable[..., Impostor], watch: Callable[..., Watched]
) -> None:
    def take_over(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(bytes.fromhex("2003000000 e0028e00"))  # CONNACK, DISCONNECT 0x8e
        connection.recv(1024)

    watched = watch(port=impostor_of(take_over).port)
    assert watched.next(LinkUp) == LinkUp()
    assert watched.next(LinkDown).reason == "ended by the broker: Session taken over"


def test_a_broker_that_hangs_up_at_once_is_tried_again(
    impostor_of: Callable[..., Impostor], watch: Callable[..., Watched]
) -> None:
    watched = watch(port=impostor_of(lambda connection: None).port)
    assert watched.next(LinkDown).reason
    assert watched.next(LinkDown).reason


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 64,
        b"\x20\x00",
        b"\x20\x03\x00\x00\xff",
        b"\x20\x0b\x00\x00\x08\x99\x00\x01\x02\x03\x04\x05\x06",
        b"\x40\x00",
        b"\xf0\x00",
    ],
)
def test_a_brokers_nonsense_ends_the_connection_and_not_the_thread(
    impostor_of: Callable[..., Impostor], watch: Callable[..., Watched], nonsense: bytes
) -> None:
    def babble(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(nonsense)

    watched = watch(port=impostor_of(babble).port)
    assert watched.next(LinkDown).reason
    assert watched.next(LinkDown).reason


def test_a_password_that_cannot_be_read_is_said_and_tried_again(
    mosquitto: Any, watch: Callable[..., Watched]
) -> None:
    def password() -> Any:
        raise ConfigError("mqtt.password_file: /nowhere: no such file")

    watched = watch(port=mosquitto.port, username="u", password=password)
    assert "mqtt.password_file: /nowhere" in watched.next(LinkDown).reason
    assert watched.next(LinkDown)


def test_an_exception_in_a_callback_is_logged_and_the_link_made_anew(
    mosquitto: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events: queue.Queue[LinkEvent] = queue.Queue()
    is_first = threading.Event()

    def on_event(event: LinkEvent) -> None:
        if isinstance(event, LinkUp) and not is_first.is_set():
            is_first.set()
            raise RuntimeError("a bug")
        events.put(event)

    link = Link(
        broker=Broker(host="127.0.0.1", port=mosquitto.port, client_id="x"),
        will=Will("heimdall/v1/monte/availability", b"offline"),
        on_event=on_event,
        backoff_s=(0.02, 0.05),
    )
    link.start()
    assert events.get(timeout=PATIENCE_S) == LinkDown("RuntimeError: a bug")
    assert isinstance(events.get(timeout=PATIENCE_S), LinkUp)
    assert link.stop(PATIENCE_S)
    (record,) = [r for r in caplog.records if r.getMessage() == "mqtt_link_failed"]
    assert "a bug" in record.fields["traceback"]  # type: ignore[attr-defined]


def test_stopping_before_anything_answers_takes_no_time(
    impostor_of: Callable[..., Impostor],
) -> None:
    connected, finished = threading.Event(), threading.Event()

    def say_nothing(_connection: socket.socket) -> None:
        connected.set()
        finished.wait(PATIENCE_S)

    impostor = impostor_of(say_nothing)
    watched = Watched(port=impostor.port)
    watched.link.start()
    assert connected.wait(PATIENCE_S)
    assert watched.link.stop(PATIENCE_S)
    finished.set()
