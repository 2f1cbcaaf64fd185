"""The demo: receivers, broker and hub in one process, and what it prints."""

from __future__ import annotations

import io
import re
import signal

import pytest

from heimdall_edge.demo import Tally, run_demo


@pytest.fixture(autouse=True)
def signals_as_before():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopWhen:
    """Ctrl-C as soon as the output holds enough rows."""

    def __init__(self, out: io.StringIO, rows: int) -> None:
        self._out, self._rows, self._left = out, rows, 240

    def wait(self, timeout_s: float) -> int | None:
        import time

        time.sleep(timeout_s)
        self._left -= 1
        assert self._left, f"no {self._rows} rows in a minute:\n{self._out.getvalue()}"
        return signal.SIGINT if len(rows(self._out)) >= self._rows else None


def rows(out: io.StringIO) -> list[str]:
    """The rows of fixes; a slow machine may miss the beginning of the first transmission."""
    lines = out.getvalue().splitlines()
    return [x for x in lines if re.match(r"\d\d:\d\d:\d\d ", x) and "refused" not in x]


def test_fixes_arrive_by_mqtt_near_the_truth_until_ctrl_c():
    out = io.StringIO()
    assert run_demo(signals=StopWhen(out, 2), out=out) == 0
    text = out.getvalue()
    assert text.startswith(
        "7 simulated receivers, 3 channels, 2 transmitters; broker on 127.0.0.1:"
    )
    assert "mosquitto_sub -p " in text
    first = rows(out)[0].split()
    assert first[1:3] in (["pmr1", "base"], ["pmr8", "car"])
    error_m = float(first[5])
    assert error_m < 1_000
    summary = re.search(r"(\d+) fixes: median error (\d+) m, (\d+) of \1 inside", text)
    assert summary
    assert int(summary[1]) >= 2


def test_the_demo_ends_by_itself_when_asked_to():
    class Never:
        def wait(self, timeout_s: float) -> None:
            return None

    out = io.StringIO()
    assert run_demo(signals=Never(), seconds=0.1, out=out) == 0
    assert "no fix yet, 0 refused" in out.getvalue()


def test_a_tally_without_fixes_says_so():
    assert Tally(refused=2).in_words() == "\nno fix yet, 2 refused"
