"""The publisher's door."""

from __future__ import annotations

import threading

from heimdall_edge.publish.inbox import Inbox


def test_all_there_is_is_taken_at_once_in_order() -> None:
    inbox: Inbox[int, str] = Inbox(max_requests=10)
    inbox.offer(1)
    inbox.report("up")
    inbox.offer(2)
    assert not inbox.is_empty
    assert inbox.take(timeout_s=0) == ([1, 2], ["up"])
    assert inbox.is_empty
    assert inbox.take(timeout_s=0) == ([], [])


def test_the_oldest_request_goes_when_there_are_too_many_but_no_event_ever() -> None:
    inbox: Inbox[int, int] = Inbox(max_requests=3)
    for n in range(5):
        inbox.offer(n)
        inbox.report(n)
    assert inbox.take(timeout_s=0) == ([2, 3, 4], [0, 1, 2, 3, 4])
    assert inbox.dropped == 2


def test_who_waits_is_woken_by_a_request_an_event_or_the_end() -> None:
    inbox: Inbox[int, str] = Inbox(max_requests=3)
    for act, expected in (
        (lambda: inbox.offer(1), ([1], [])),
        (lambda: inbox.report("up"), ([], ["up"])),
        (inbox.close, ([], [])),
    ):
        found: list[tuple[list[int], list[str]]] = []
        waiter = threading.Thread(target=lambda into=found: into.append(inbox.take(timeout_s=60)))
        waiter.start()
        act()
        waiter.join(20)
        assert found == [expected]


def test_after_the_end_requests_are_dropped_and_events_still_come() -> None:
    inbox: Inbox[int, str] = Inbox(max_requests=3)
    inbox.offer(1)
    inbox.close()
    inbox.offer(2)
    inbox.report("down")
    assert inbox.take(timeout_s=0) == ([1], ["down"])
    assert inbox.dropped == 1
