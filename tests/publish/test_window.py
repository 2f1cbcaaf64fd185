"""What is under way, and which topics are left alone."""

from __future__ import annotations

from heimdall_edge.publish.window import Flight, TopicPauses, Window


def test_a_window_has_room_until_it_is_full() -> None:
    window = Window(2)
    assert window.room == 2
    window.take_off(1, Flight("fix", "t", 10.0, row_id=7))
    window.take_off(2, Flight("info", "i", 12.0))
    assert (window.room, len(window), window.row_ids) == (0, 2, [7])
    assert window.longest_s(15.0) == 5.0
    assert window.land(1) == Flight("fix", "t", 10.0, row_id=7)
    assert window.land(1) is None
    assert (window.room, window.longest_s(15.0)) == (1, 3.0)


def test_the_brokers_limit_counts_where_it_is_the_lower_one() -> None:
    window = Window(20)
    window.take_off(1, Flight("fix", "t", 0.0))
    window.reset(broker_limit=3)
    assert (len(window), window.room) == (0, 3)
    window.reset(broker_limit=65_535)
    assert window.room == 20
    window.reset()
    assert (window.room, window.longest_s(9.0)) == (20, 0.0)


def test_a_refused_topic_is_left_alone_for_a_time_that_doubles() -> None:
    pauses = TopicPauses(shortest_s=60, longest_s=200)
    pauses.refused("t", now_s=0)
    pauses.refused("t", now_s=1)  # sent before the first refusal came: the same try
    assert pauses.active(59.9) == ["t"]
    assert pauses.active(60.0) == []
    pauses.refused("t", now_s=60)
    assert pauses.active(179.9) == ["t"]
    assert pauses.active(180.0) == []
    pauses.refused("t", now_s=180)
    assert pauses.active(379.9) == ["t"]
    assert pauses.active(380.0) == []


def test_a_topic_that_is_taken_again_starts_from_the_beginning() -> None:
    pauses = TopicPauses(shortest_s=60, longest_s=200)
    pauses.refused("t", now_s=0)
    pauses.taken("t")
    pauses.taken("u")
    pauses.refused("t", now_s=100)
    assert pauses.active(159.9) == ["t"]
    assert pauses.active(160.0) == []
    pauses.clear()
    assert pauses.active(101.0) == []
