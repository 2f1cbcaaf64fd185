"""Servers of a few lines, for what connects to servers."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager

from websockets.sync.server import serve

from heimdall_edge.sources.dialling import Address

QUIET = logging.Logger("quiet", logging.CRITICAL)


@contextmanager
def server_of(talk, **options):
    """A websocket server whose ``talk(connection)`` runs for each client."""
    with serve(talk, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Address("127.0.0.1", server.socket.getsockname()[1])
        server.shutdown()
    thread.join()


@contextmanager
def raw_server(answer, *, gap_s=0.0):
    """Answers one client's request with these bytes, byte by byte where there is a gap."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve_one():
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(4096)
                pieces = [answer[i : i + 1] for i in range(len(answer))] if gap_s else [answer]
                for piece in pieces:
                    try:
                        accepted.sendall(piece)
                    except OSError:
                        return
                    if gap_s and ended.wait(gap_s):
                        return
                if not answer:
                    ended.wait(20)

        thread = threading.Thread(target=serve_one)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        ended.set()
        thread.join()
