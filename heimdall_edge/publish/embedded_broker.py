"""A small MQTT 3.1.1 broker within the process, on loopback: for the demo, never for a station.

amqtt (the extra ``demo``) is imported when the broker starts, and not before. It keeps everything
in memory, and lets anybody on this host in.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from types import TracebackType
from typing import Self

from heimdall_edge.errors import ConfigError

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class EmbeddedBroker:
    """``with EmbeddedBroker() as broker: … broker.port …``; one asyncio loop, in its own thread."""

    def __init__(self) -> None:
        self.port = 0
        """Where it listens on 127.0.0.1, once it is started."""
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)
        self._is_ready = threading.Event()
        self._failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goodbye: asyncio.Event | None = None

    def start(self) -> None:
        """Start it; returns when it listens. ConfigError without amqtt."""
        self._thread.start()
        self._is_ready.wait(START_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure
        if not self._is_ready.is_set():
            raise TimeoutError(f"the embedded broker did not start within {START_TIMEOUT_S:g} s")

    def stop(self) -> None:
        """Close all connections and end; idempotent."""
        if self._loop is not None and self._goodbye is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._goodbye.set)
            self._thread.join(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # handed to the thread that waits in start()
            self._failure = error
        finally:
            self._is_ready.set()

    async def _serve(self) -> None:
        try:
            from amqtt.broker import Broker
        except ImportError:
            raise ConfigError(
                "the demo's broker needs amqtt: pip install 'heimdall-edge[demo]'"
            ) from None
        for chatty in ("amqtt", "transitions"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        self._loop, self._goodbye = asyncio.get_running_loop(), asyncio.Event()
        self.port = _free_port()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        self._is_ready.set()
        await self._goodbye.wait()
        await broker.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
