"""Files side by side: none runs far ahead, none waits for ever."""

from __future__ import annotations

import threading

from heimdall_edge.lockstep import Lockstep
from heimdall_edge.types import NS_PER_S


def runs_ahead(
    lockstep: Lockstep, name: str, at_s: int
) -> tuple[threading.Thread, threading.Event]:
    arrived = threading.Event()
    thread = threading.Thread(target=lambda: (lockstep.reach(name, at_s * NS_PER_S), arrived.set()))
    thread.start()
    return thread, arrived


def test_a_file_waits_for_one_that_is_farther_behind_than_the_horizon():
    lockstep = Lockstep(horizon_s=5)
    lockstep.join("slow")
    lockstep.join("fast")
    lockstep_slow, _ = runs_ahead(lockstep, "slow", 0)
    thread, arrived = runs_ahead(lockstep, "fast", 10)
    lockstep_slow.join(5)
    assert not arrived.wait(0.05)
    lockstep.reach("slow", 5 * NS_PER_S)
    assert arrived.wait(5)
    thread.join()


def test_who_has_said_nothing_yet_is_waited_for_until_it_leaves():
    lockstep = Lockstep(horizon_s=5)
    lockstep.join("opening")
    lockstep.join("fast")
    thread, arrived = runs_ahead(lockstep, "fast", 10)
    assert not arrived.wait(0.05)
    lockstep.leave("opening")
    assert arrived.wait(5)
    thread.join()


def test_one_who_leaves_is_freed_itself():
    lockstep = Lockstep(horizon_s=5)
    lockstep.join("other")
    lockstep.join("me")
    thread, arrived = runs_ahead(lockstep, "me", 10)
    lockstep.leave("me")
    assert arrived.wait(5)
    thread.join()


def test_one_who_never_joined_does_not_wait():
    lockstep = Lockstep(horizon_s=5)
    lockstep.join("other")
    lockstep.reach("radio", 10**18)
