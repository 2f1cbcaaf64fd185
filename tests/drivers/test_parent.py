"""The parent, as a driver's process sees it."""

import os
import threading

import pytest

from heimdall_edge.drivers.parent import MAX_LINE_BYTES, Parent


class Wire:
    """A pipe, with a parent on it that is read to its end."""

    def __init__(self):
        self._out, self._into = os.pipe()
        self.parent = Parent(self._out)

    def say(self, data):
        os.write(self._into, data)

    def hang_up(self):
        os.close(self._into)
        self._into = None

    def close(self):
        if self._into is not None:
            self.hang_up()
        self.parent._reader.join(5)
        assert not self.parent._reader.is_alive()
        os.close(self._out)


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.close()


def test_the_first_line_is_the_settings_and_the_others_are_commands(wire):
    wire.say(b'{"serial": "1"}\n{"tune"')
    assert wire.parent.settings() == {"serial": "1"}
    wire.say(b': 5}\n{"tune": 6}\n{"unfin')
    wire.hang_up()
    assert list(wire.parent.commands()) == [{"tune": 5}, {"tune": 6}]


def test_a_parent_that_is_gone_before_it_said_anything_ends_the_driver(wire):
    wire.hang_up()
    with pytest.raises(SystemExit):
        wire.parent.settings()


def test_the_drivers_own_end_ends_the_commands(wire):
    threading.Timer(0.05, wire.parent.stop).start()
    assert list(wire.parent.commands()) == []


@pytest.mark.parametrize("line", [b"rubbish\n", b"[1]\n", b"\xff\n", b"[" * 60_000 + b"\n"])
def test_what_is_no_object_ends_the_driver_and_is_shown(wire, line, capsys):
    wire.say(line)
    assert list(wire.parent.commands()) == []
    assert "expected a JSON object a line, found" in capsys.readouterr().err


def test_a_line_without_end_takes_no_memory(wire):
    wire.say(b"x" * 60_000)
    wire.say(b"x" * (MAX_LINE_BYTES - 50_000))
    assert list(wire.parent.commands()) == []
