"""The line of ``systemctl status``."""

from __future__ import annotations

from heimdall_edge.status_line import REASON_CHARACTERS, status_line
from heimdall_edge.types import ModelIdentity, ReceiverState, ReceiverStatus

MODEL = ModelIdentity("reference", "1", "0" * 64)


def status(name: str, state: ReceiverState, reason: str | None = None, **more: object):
    return ReceiverStatus(name, state, 0, reason, **more)


def test_says_how_many_run_and_what_is_wrong_with_the_rest():
    line = status_line(
        [
            status("roof", ReceiverState.RUNNING),
            status("attic", ReceiverState.RECONNECTING, "serial 7: not found"),
            status("barn", ReceiverState.SILENT, "no samples for 3 s"),
            status("old", ReceiverState.DISABLED, "disabled by the configuration"),
        ],
        MODEL,
        ["needs restart: receivers"],
    )
    assert line == (
        "1 of 4 receivers running, model reference 1; attic reconnecting: serial 7: not found; "
        "barn silent: no samples for 3 s; needs restart: receivers"
    )


def test_says_what_was_given_up_for_want_of_cpu():
    overloaded = status("roof", ReceiverState.RUNNING, given_up=("mel spectrograms", "channel b"))
    assert status_line([overloaded], MODEL, []).endswith(
        "; roof gave up mel spectrograms, channel b"
    )


def test_a_long_reason_is_cut():
    line = status_line([status("roof", ReceiverState.FAILED, "x" * 1000)], MODEL, [])
    assert line.count("x") == REASON_CHARACTERS


def test_of_many_things_given_up_a_few_are_named():
    given_up = ("mel spectrograms", *(f"channel {n}" for n in range(30)))
    line = status_line([status("roof", ReceiverState.RUNNING, given_up=given_up)], MODEL, [])
    assert line.endswith("roof gave up mel spectrograms, channel 0, channel 1 and 28 more")
