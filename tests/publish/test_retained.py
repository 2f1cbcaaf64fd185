"""The board of retained topics."""

from __future__ import annotations

from heimdall_edge.publish.retained import Retained, RetainedBoard


def entry(
    topic: str, word: bytes = b"", *, kind: str = "info", until_s: float | None = None
) -> Retained:
    return Retained(kind, topic, lambda: word, until_s)


def taken(board: RetainedBoard, now_s: float = 0.0, skip: tuple[str, ...] = ()) -> list[str]:
    found = []
    while one := board.take(now_s=now_s, skip_topics=skip):
        found.append(one.topic)
    return found


def test_only_the_latest_word_on_a_topic_is_sent_once() -> None:
    board = RetainedBoard()
    board.put(entry("a", b"old"))
    board.put(entry("b"))
    board.put(entry("a", b"new"))
    first = board.take(now_s=0)
    assert first is not None
    assert (first.topic, first.render()) == ("a", b"new")
    assert taken(board) == ["b"]
    assert taken(board) == []


def test_after_a_connect_everything_is_sent_again_in_its_order() -> None:
    board = RetainedBoard()
    for topic in "abc":
        board.put(entry(topic))
    taken(board)
    board.mark_all()
    assert taken(board) == ["a", "b", "c"]


def test_single_topics_and_kinds_can_be_sent_again() -> None:
    board = RetainedBoard()
    board.put(entry("a", kind="info"))
    board.put(entry("b", kind="receiver"))
    board.put(entry("c", kind="availability"))
    taken(board)
    board.mark("c")
    board.mark("unknown")
    assert taken(board) == ["c"]
    board.mark_kinds("info", "receiver")
    assert taken(board) == ["a", "b"]


def test_what_is_no_longer_worth_sending_is_forgotten() -> None:
    board = RetainedBoard()
    board.put(entry("a", until_s=10.0))
    assert taken(board, now_s=9.9) == ["a"]
    board.mark_all()
    assert taken(board, now_s=10.0) == []
    board.mark_all()
    assert taken(board, now_s=0.0) == []


def test_a_topic_that_is_skipped_is_still_unsent() -> None:
    board = RetainedBoard()
    board.put(entry("a"))
    board.put(entry("b"))
    assert taken(board, skip=("a",)) == ["b"]
    assert taken(board) == ["a"]
