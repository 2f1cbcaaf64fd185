"""The demo's own broker."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from heimdall_edge.errors import ConfigError
from heimdall_edge.publish import embedded_broker
from heimdall_edge.publish.embedded_broker import EmbeddedBroker
from heimdall_edge.types import Fix


def test_a_publisher_reaches_a_hub_through_it(
    subscribe: Callable[..., Any], publisher_of: Callable[..., Any], fix_of: Callable[..., Fix]
) -> None:
    with EmbeddedBroker() as broker:
        hub = subscribe(broker.port, protocol="3.1.1")
        publisher = publisher_of(broker.port, broker={"protocol": "3.1.1"})
        publisher.start()
        publisher.publish_fix(fix_of(1))
        assert hub.wait_for("monte/fix")[0].json["fix_id"] == "fix-000001"
        publisher.stop(5.0)
        assert hub.wait_for("availability", 2)[-1].payload == b"stopped"
        hub.close()
    assert not [t for t in threading.enumerate() if t.name == "embedded-broker"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port), timeout=1)


def test_stopping_twice_does_no_harm() -> None:
    broker = EmbeddedBroker()
    broker.start()
    broker.stop()
    broker.stop()


def test_it_is_on_loopback_only() -> None:
    with EmbeddedBroker() as broker, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", broker.port), timeout=1)


def test_without_amqtt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(ConfigError, match=r"heimdall-edge\[demo\]"):
        EmbeddedBroker().start()


def test_a_port_that_is_taken_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(embedded_broker, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(Exception, match="can't be started"):
            EmbeddedBroker().start()
