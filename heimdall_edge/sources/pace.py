"""Gives recorded items no sooner than they were received."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from heimdall_edge.types import NS_PER_S

T = TypeVar("T")

LONGEST_WAIT_S = 3600.0
"""A single wait; a gap of months in a recording is waited for in such steps."""


def in_real_time(
    items: Iterable[T],
    *,
    begin_utc_ns: Callable[[T], int],
    due_utc_ns: Callable[[T], int],
    wait: Callable[[float], bool],
    now_s: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Give each item when as much time has passed here as had passed there.

    Whoever is late is given the next items at once, until they are on time again: nothing is
    left out, and the items keep their own times.

    Parameters
    ----------
    begin_utc_ns : callable
        When the recording begins, asked of the first item.
    due_utc_ns : callable
        When an item was complete, and so may be given.
    wait : callable
        Waits so many seconds; True ends the iteration at once, as ``threading.Event.wait`` does.
    """
    origin_utc_ns, began_s = None, now_s()
    for item in items:
        if origin_utc_ns is None:
            origin_utc_ns, began_s = begin_utc_ns(item), now_s()
        due_s = began_s + (due_utc_ns(item) - origin_utc_ns) / NS_PER_S
        while (left_s := due_s - now_s()) > 0:
            if wait(min(left_s, LONGEST_WAIT_S)):
                return
        yield item
