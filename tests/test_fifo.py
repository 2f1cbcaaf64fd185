"""The hand-off: order, bounds, and who may wait."""

from __future__ import annotations

import threading

from heimdall_edge.fifo import Fifo


def test_items_come_out_in_the_order_they_went_in():
    fifo: Fifo[int] = Fifo(max_items=3)
    assert [fifo.offer(i) for i in range(3)] == [True] * 3
    fifo.close()
    assert list(fifo) == [0, 1, 2]
    assert fifo.is_drained


def test_an_offer_to_a_full_fifo_is_refused_at_once():
    fifo: Fifo[int] = Fifo(max_items=1)
    assert fifo.offer(1)
    assert not fifo.offer(2)
    assert len(fifo) == 1


def test_a_put_waits_for_room():
    fifo: Fifo[int] = Fifo(max_items=1)
    fifo.offer(1)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (fifo.put(2), done.set()))
    thread.start()
    assert not done.wait(0.05)
    assert fifo.get() == 1
    assert done.wait(5)
    assert fifo.get() == 2
    thread.join()


def test_closing_frees_who_waits_and_lets_the_consumer_drain():
    fifo: Fifo[int] = Fifo(max_items=1)
    fifo.offer(1)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(fifo.put(2)))
    thread.start()
    fifo.close()
    thread.join(5)
    assert answers == [False]
    assert not fifo.is_drained
    assert not fifo.offer(3)
    assert fifo.get() == 1
    assert fifo.get() is None


def test_get_gives_up_after_its_timeout():
    fifo: Fifo[int] = Fifo(max_items=1)
    assert fifo.get(timeout_s=0.01) is None
