"""A line of ``heimdall.observation/1``, as another station or a file gives it."""

from __future__ import annotations

import contextlib

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.wire_observation import parse_observation


def one_input(data: bytes) -> None:
    with contextlib.suppress(PayloadError):
        parse_observation(data)
