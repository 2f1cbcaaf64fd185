"""What a C library writes to standard error."""

import contextlib
import os

from heimdall_edge.drivers.overheard import overheard


def test_what_is_written_is_heard_and_passed_on(capfd):
    os.write(2, b"before ")
    with overheard() as heard:
        os.write(2, b"Kernel driver is active\n")
        assert heard.text == ""
    os.write(2, b"after")
    assert heard.text == "Kernel driver is active\n"
    assert capfd.readouterr().err == "before Kernel driver is active\nafter"


def test_it_ends_with_an_exception_too(capfd):
    try:
        with overheard() as heard:
            os.write(2, b"\xff bad bytes")
            raise OSError
    except OSError:
        pass
    assert "bad bytes" in heard.text
    os.write(2, b"still there")
    assert capfd.readouterr().err.endswith("still there")


def test_more_than_it_can_keep_stops_nobody(capfd):
    with overheard() as heard:
        for _ in range(100):
            with contextlib.suppress(BlockingIOError):
                os.write(2, b"x" * 4096)
    assert 4096 <= len(heard.text) < 100 * 4096
    assert capfd.readouterr().err == heard.text
