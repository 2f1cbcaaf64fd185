"""The connection to the broker, made again and again, in a thread of its own.

::

    start() ─▶ ┌─▶ connect ─▶ loop: PUBLISH, PUBACK, PING ─▶ ended ─▶ back-off ─┐ ─▶ stop()
               └────────────────────────────────────────────────────────────────┘
                      LinkUp      Acknowledged …            LinkDown

Each connection is a new paho client: what was under way in the old one is forgotten here, because
the outbox still has it, and sends it again in order, marked as replayed. paho's own thread and
its own reconnecting are not used. ``on_event`` is called on the link's thread and must not block;
``publish`` may be called from any thread and never touches the network.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from heimdall_edge import journal
from heimdall_edge.errors import HeimdallError
from heimdall_edge.publish.broker import Acknowledged, Broker, LinkDown, LinkEvent, LinkUp, Will

STABLE_S = 30.0
"""A connection that lasted so long makes the next attempt a prompt one."""
_LOOP_S = 1.0

log = journal.logger("mqtt")


class Link:
    """Keeps a connection to one broker."""

    def __init__(
        self,
        *,
        broker: Broker,
        will: Will,
        on_event: Callable[[LinkEvent], None],
        backoff_s: tuple[float, float] = (1.0, 60.0),
        rng: random.Random | None = None,
    ) -> None:
        self._broker = broker
        self._will = will
        self._on_event = on_event
        self._shortest_s, self._longest_s = backoff_s
        self._rng = rng or random.Random()
        self._client: Client | None = None
        """The one that is connected; set and cleared by the link's thread only."""
        self._end_reason: str | None = None
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt-link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: int | None = None
    ) -> int | None:
        """Hand a message over; returns its message id, or ``None`` where there is no connection."""
        client = self._client
        if client is None:
            return None
        properties = None
        if expiry_s is not None and self._is_v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry_s
        info = client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def drop(self, reason: str) -> None:
        """Give up the present connection, and make another."""
        self._end_reason = reason
        self._abandon.set()

    def stop(self, timeout_s: float) -> bool:
        """Say goodbye and end; False if the thread still runs after that time."""
        self._stopping.set()
        client = self._client
        if client is None:
            self._abandon.set()
        else:
            client.disconnect()
        self._thread.join(timeout_s)
        self._abandon.set()
        return not self._thread.is_alive()

    @property
    def _is_v5(self) -> bool:
        return self._broker.protocol == "5"

    # ── the link's thread ─────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        delay_s = self._shortest_s
        while not self._stopping.is_set():
            began_s = time.monotonic()
            reason = self._live()
            self._on_event(LinkDown(reason))
            if time.monotonic() - began_s >= STABLE_S:
                delay_s = self._shortest_s
            self._stopping.wait(delay_s * self._rng.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, self._longest_s)

    def _live(self) -> str:
        """One connection, from its making to its end; returns why it ended."""
        self._end_reason = None
        self._abandon.clear()
        try:
            client = self._new_client()
            self._connect(client)
            while not self._is_given_up:
                if client.loop(_LOOP_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        except (OSError, HeimdallError) as error:
            return f"{self._broker.host}:{self._broker.port}: {error}"
        except Exception as error:  # on a broker's nonsense paho may raise anything
            log.error("mqtt_link_failed", error=error, traceback=traceback.format_exc())
            return f"{type(error).__name__}: {error}"
        finally:
            self._client = None
        if (connection := client.socket()) is not None:
            connection.close()  # without a goodbye: the broker then publishes the will
        return self._end_reason or "connection lost"

    @property
    def _is_given_up(self) -> bool:
        return self._abandon.is_set() or (self._stopping.is_set() and self._client is None)

    def _new_client(self) -> Client:
        broker = self._broker
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if self._is_v5 else False,
            reconnect_on_failure=False,
        )
        client.connect_timeout = broker.connect_timeout_s
        client.max_inflight_messages_set(0)  # the publisher's window is the bound
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.current_password())
        if broker.tls is not None:
            client.tls_set_context(broker.tls.context())
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        # Its mere presence keeps publish() from writing to the socket on the caller's thread.
        client.on_socket_register_write = _leave_it_to_the_loop
        return client

    def _connect(self, client: Client) -> None:
        broker = self._broker
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = broker.session_expiry_s
            client.connect(
                broker.host,
                broker.port,
                broker.keepalive_s,
                clean_start=False,
                properties=properties,
            )
        else:
            client.connect(broker.host, broker.port, broker.keepalive_s)

    # ── paho's callbacks, on the link's thread ────────────────────────────────────────────

    def _connected(
        self,
        client: Client,
        _userdata: Any,
        _flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._end_reason = f"refused by the broker: {code}"
            return
        self._client = client
        self._on_event(
            LinkUp(
                receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
                maximum_packet_bytes=getattr(properties, "MaximumPacketSize", None),
            )
        )

    def _disconnected(
        self,
        _client: Client,
        _userdata: Any,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._end_reason is None:
            by_broker = flags.is_disconnect_packet_from_server
            self._end_reason = (
                f"ended by the broker: {code}" if by_broker else f"connection lost ({code})"
            )

    def _published(
        self,
        _client: Client,
        _userdata: Any,
        mid: int,
        code: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._on_event(Acknowledged(mid, code.value, str(code)))


def _leave_it_to_the_loop(_client: Client, _userdata: Any, _socket: Any) -> None:
    """Nothing: the loop's ``select`` is woken by paho itself."""


def _send_at_once(_client: Client, _userdata: Any, sock: Any) -> None:
    """No waiting for the acknowledgement of an earlier packet (RFC 896), which costs 40 ms."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
