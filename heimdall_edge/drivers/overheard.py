"""What a C library says of a failure on standard error only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class Overheard:
    """Text that a library wrote, in the order that it wrote it."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def overheard() -> Iterator[Overheard]:
    """Listen to what this process writes to standard error; it is passed on at the end.

    Where the library never returns, it is not passed on.
    """
    heard = Overheard()
    real = os.dup(2)
    kept, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # what does not fit into it is lost
    os.dup2(into, 2)
    try:
        yield heard
    finally:
        os.dup2(real, 2)
        os.close(into)
        said = _all_of(kept)
        heard.text = said.decode(errors="replace")
        os.write(real, said)
        os.close(kept)
        os.close(real)


def _all_of(descriptor: int) -> bytes:
    """What was written into a pipe that nobody writes to any more."""
    with open(descriptor, "rb", closefd=False) as pipe:
        return pipe.read()
