"""What is given up for want of CPU: in which order, when, and when it is taken back."""

from __future__ import annotations

from heimdall_edge.config import Channel
from heimdall_edge.shedding import FIRST_EASE_S, TOO_SOON_S, WINDOW_S, Limit, Shedding

CHANNELS = [
    Channel(name="calling", frequency_hz=145.5e6, priority=90),
    Channel(name="first", frequency_hz=145.6e6),
    Channel(name="second", frequency_hz=145.7e6),
    Channel(name="idle", frequency_hz=145.8e6, priority=1),
]


def windows(
    shedding: Shedding, load: float, seconds: float, *, dropped: bool = False
) -> list[Limit]:
    """Work for so long at a load; the limits that came of it."""
    n_windows = round(seconds / WINDOW_S)
    answers = [
        shedding.worked(busy_s=load * WINDOW_S, lasted_s=WINDOW_S, dropped=dropped)
        for _ in range(n_windows)
    ]
    return [limit for limit in answers if limit is not None]


def test_mel_goes_first_then_channels_by_priority_and_the_last_one_stays():
    shedding = Shedding(CHANNELS, has_mel=True)
    limits = windows(shedding, 1.2, 40.0)
    assert [(limit.channels, limit.with_mel) for limit in limits] == [
        (("calling", "first", "second", "idle"), False),
        (("calling", "first", "second"), False),
        (("calling", "first"), False),
        (("calling",), False),
    ]
    assert limits[-1].given_up == (
        "mel spectrograms", "channel idle", "channel second", "channel first",
    )  # fmt: skip


def test_far_over_the_limit_as_many_channels_go_at_once_as_the_load_demands():
    many = [Channel(name=f"c{n}", frequency_hz=145e6) for n in range(32)]
    shedding = Shedding(many, has_mel=True)
    (first,) = windows(shedding, 4.0, WINDOW_S)
    assert (len(first.channels), first.with_mel) == (7, False)
    assert first.channels == tuple(f"c{n}" for n in range(7))
    (second,) = windows(shedding, 100.0, WINDOW_S)
    assert second.channels == ("c0",)
    assert windows(shedding, 100.0, WINDOW_S) == [], "the last one stays"


def test_an_overload_is_judged_by_the_workers_time_when_its_samples_pass_slowly():
    shedding = Shedding(CHANNELS, has_mel=True)
    limit = shedding.worked(busy_s=WINDOW_S, lasted_s=WINDOW_S / 10, dropped=True)
    assert limit is not None


def test_without_mel_channels_go_at_once():
    assert windows(Shedding(CHANNELS, has_mel=False), 1.2, WINDOW_S)[0].channels == (
        "calling", "first", "second",
    )  # fmt: skip


def test_what_lasts_no_whole_window_is_no_overload():
    shedding = Shedding(CHANNELS, has_mel=True)
    assert shedding.worked(busy_s=1.0, lasted_s=WINDOW_S / 2, dropped=True) is None
    assert shedding.worked(busy_s=0.1, lasted_s=WINDOW_S / 2, dropped=False) is None
    assert shedding.limit.given_up == ()


def test_blocks_dropped_at_a_moderate_load_were_somebody_elses_fault():
    assert windows(Shedding(CHANNELS, has_mel=True), 0.4, 60.0, dropped=True) == []
    assert windows(Shedding(CHANNELS, has_mel=True), 0.8, WINDOW_S, dropped=True) != []


def test_what_was_given_up_is_taken_back_one_step_at_a_time():
    shedding = Shedding(CHANNELS, has_mel=True)
    windows(shedding, 1.2, 2 * WINDOW_S)
    assert windows(shedding, 0.3, FIRST_EASE_S - WINDOW_S) == []
    assert [limit.given_up for limit in windows(shedding, 0.3, 2 * WINDOW_S)] == [
        ("mel spectrograms",)
    ]
    assert windows(shedding, 0.3, FIRST_EASE_S)[-1].given_up == ()


def test_where_there_is_much_room_as_many_channels_come_back_as_surely_fit():
    many = [Channel(name=f"c{n}", frequency_hz=145e6) for n in range(32)]
    shedding = Shedding(many, has_mel=True)
    windows(shedding, 100.0, WINDOW_S)
    taken_back = windows(shedding, 0.05, 3 * FIRST_EASE_S + 3 * WINDOW_S)
    assert [(len(limit.channels), limit.with_mel) for limit in taken_back] == [
        (11, False), (32, False), (32, True),
    ]  # fmt: skip


def test_a_worker_at_its_limit_does_not_swing():
    shedding = Shedding(CHANNELS, has_mel=True)
    waits = []
    for _ in range(3):
        assert windows(shedding, 1.2, WINDOW_S)
        n_windows = 1
        while not windows(shedding, 0.3, WINDOW_S):
            n_windows += 1
        waits.append(n_windows * WINDOW_S)
    assert waits[0] < waits[1] < waits[2]
    assert waits[0] < TOO_SOON_S


def test_load_is_known_for_the_journal():
    shedding = Shedding(CHANNELS, has_mel=True)
    windows(shedding, 1.25, WINDOW_S)
    assert shedding.load == 1.25
