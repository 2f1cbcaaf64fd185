"""Lines for the journal: one an event, safe, and not too many."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from heimdall_edge import journal


@pytest.fixture
def stream():
    text = io.StringIO()
    yield text
    journal.configure(stream=io.StringIO())


def test_an_event_is_one_line_with_its_keys(stream):
    journal.configure(stream=stream)
    journal.logger("fix").info("fix_published", channel="pmr1", radius_m=123.456789, why="a b")
    assert stream.getvalue() == (
        'event=fix_published part=fix channel=pmr1 radius_m=123.457 why="a b"\n'
    )


def test_a_line_break_in_a_value_cannot_forge_a_line(stream):
    journal.configure(stream=stream)
    journal.logger("x").warning("bad", text="one\nevent=forged")
    assert stream.getvalue().count("\n") == 1


def test_json_is_one_object_a_line(stream):
    journal.configure(stream=stream, style="json")
    journal.logger("x").error("bad", reason="ü\n", number=1)
    assert json.loads(stream.getvalue()) == {
        "event": "bad", "part": "x", "reason": "ü\n", "number": 1,
    }  # fmt: skip


def test_priorities_are_those_of_the_journal(stream):
    journal.configure(stream=stream, level="debug", with_priority=True)
    log = journal.logger("x")
    for write in (log.debug, log.info, log.warning, log.error):
        write("event")
    assert [line[:3] for line in stream.getvalue().splitlines()] == ["<7>", "<6>", "<4>", "<3>"]


def test_the_level_is_kept(stream):
    journal.configure(stream=stream, level="warning")
    journal.logger("x").info("quiet")
    assert stream.getvalue() == ""


def test_a_traceback_stays_on_its_line(stream):
    journal.configure(stream=stream)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        journal.logger("x").exception("bug", sys.exc_info()[1], thread="work")
    assert stream.getvalue().count("\n") == 1
    assert "RuntimeError: broken" in stream.getvalue()


def record(event: str, receiver: str = "rx", level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("heimdall_edge.x", level, "", 0, event, (), None)
    made.fields = {"receiver": receiver}
    return made


def test_a_flood_is_held_back_counted_and_told_with_the_next_line():
    now = [0.0]
    limit = journal.RateLimit(clock=lambda: now[0])
    passed = sum(limit.filter(record("dropped")) for _ in range(100))
    assert passed == journal.BURST_LINES
    assert limit.filter(record("dropped", receiver="other"))
    assert limit.filter(record("dropped", level=logging.ERROR))
    now[0] = journal.WINDOW_S
    later = record("dropped")
    assert limit.filter(later)
    assert later.fields["suppressed"] == 95


def test_the_limit_forgets_rather_than_grows():
    limit = journal.RateLimit(clock=lambda: 0.0)
    assert all(limit.filter(record(f"event{i}")) for i in range(10_100))
    assert len(limit._windows) <= 10_001
