from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.signal.windows import WindowGrid
from heimdall_edge.types import ChannelBlock, ChannelSpec, ClockState, SampleCount

RATE_HZ = 12_000.0
CHANNEL = ChannelSpec("dcf77", 77_500.0, 1_000.0)
SECOND_NS = 1_000_000_000
GRID_NS = 1_700_000_000 * SECOND_NS
"""A whole multiple of 2 s."""


def block(iq: np.ndarray, start_utc_ns: int = GRID_NS) -> ChannelBlock:
    return ChannelBlock(
        CHANNEL.bandwidth_hz,
        (CHANNEL,),
        iq[None],
        RATE_HZ,
        start_utc_ns,
        False,
        SampleCount(),
        ClockState(),
    )


def noise(n: int, seed: int = 1) -> np.ndarray:
    iq = np.random.default_rng(seed).standard_normal((n, 2), np.float32)
    return (iq * np.float32(math.sqrt(0.5))).view(np.complex64)[:, 0]


def with_carrier(n: int, snr_db: float, seed: int = 1) -> np.ndarray:
    power = 10 ** (snr_db / 10) * CHANNEL.bandwidth_hz / RATE_HZ
    tone = math.sqrt(power) * np.exp(2j * np.pi * 30.0 / RATE_HZ * np.arange(n))
    return noise(n, seed) + tone.astype(np.complex64)


def grid(window_s: float = 2.0) -> WindowGrid:
    channel = Channel(
        name=CHANNEL.name,
        frequency_hz=CHANNEL.frequency_hz,
        bandwidth_hz=CHANNEL.bandwidth_hz,
        mode="continuous",
        open_db=6.0,
        close_db=5.0,
        window_s=window_s,
    )
    return WindowGrid([channel], sample_rate_hz=RATE_HZ)


def test_windows_lie_on_the_utc_grid_and_only_whole_ones_are_given() -> None:
    history = ChannelHistory(block(with_carrier(90_000, 20), GRID_NS + SECOND_NS // 2))
    windows = grid()
    spans = windows.add(history)
    assert [(s.start, s.stop) for s in spans] == [
        (18_000, 42_000),
        (42_000, 66_000),
        (66_000, 90_000),
    ]
    assert windows.settled[0] == 90_000
    assert windows.end_run(history) == []


def test_a_run_that_starts_on_the_grid_loses_nothing() -> None:
    spans = grid().add(ChannelHistory(block(with_carrier(48_000, 20))))
    assert [(s.start, s.stop) for s in spans] == [(0, 24_000), (24_000, 48_000)]


def test_the_floor_is_found_beside_a_carrier_that_never_ends() -> None:
    windows = grid()
    windows.add(ChannelHistory(block(with_carrier(96_000, 40))))
    assert np.isfinite(windows.noise_power[0])
    in_channel = CHANNEL.bandwidth_hz / RATE_HZ
    assert 10 * math.log10(windows.noise_power[0] / in_channel) == pytest.approx(0.0, abs=0.5)


def test_windows_without_a_signal_are_not_given_but_are_decided() -> None:
    iq = np.concatenate((noise(24_000), with_carrier(24_000, 20), noise(24_000, 3)))
    windows = grid()
    assert [s.start for s in windows.add(ChannelHistory(block(iq)))] == [24_000]
    assert windows.settled[0] == 72_000


def test_blocks_of_any_size_give_the_same_windows() -> None:
    iq = with_carrier(80_000, 15)
    whole = grid().add(ChannelHistory(block(iq, GRID_NS + 1_012_345)))
    windows, spans = grid(), []
    history = None
    for first in range(0, len(iq), 1_777):
        piece = block(iq[first : first + 1_777], GRID_NS + 1_012_345 + round(first * 1e9 / RATE_HZ))
        if history is None:
            history = ChannelHistory(piece)
        else:
            history.append(piece)
        spans += windows.add(history)
        history.forget(windows.settled)
    assert spans == whole
    assert len(spans) == 2


def test_after_a_run_the_grid_is_found_anew() -> None:
    windows = grid()
    first = ChannelHistory(block(with_carrier(30_000, 20)))
    assert len(windows.add(first)) == 1
    windows.end_run(first)
    later = ChannelHistory(block(with_carrier(30_000, 20), GRID_NS + 11 * SECOND_NS))
    assert [s[1:3] for s in windows.add(later)] == []
    assert windows.settled[0] == 0
    later.append(block(with_carrier(12_000, 20), GRID_NS + 11 * SECOND_NS + 5 * SECOND_NS // 2))
    assert [s[1:3] for s in windows.add(later)] == [(12_000, 36_000)]


def test_silence_gives_no_window_and_a_finite_floor() -> None:
    windows = grid()
    assert windows.add(ChannelHistory(block(np.zeros(48_000, np.complex64)))) == []
    assert np.isfinite(windows.noise_power[0])
    assert windows.noise_power[0] > 0


def test_a_window_of_few_samples_is_still_judged() -> None:
    windows = grid(window_s=0.01)
    spans = windows.add(ChannelHistory(block(with_carrier(1_200, 30))))
    assert all(isinstance(s, Span) and s.stop - s.start == 120 for s in spans)


def test_a_channel_that_is_new_begins_with_its_first_whole_window_and_one_that_is_gone_gives_none():
    other = ChannelSpec("other", 60_000.0, 1_000.0)
    both = [
        Channel(name=c.name, frequency_hz=c.frequency_hz, bandwidth_hz=1_000.0, mode="continuous",
                open_db=6.0, window_s=2.0)
        for c in (CHANNEL, other)
    ]  # fmt: skip
    iq = np.stack([with_carrier(150_000, 20, seed=1), with_carrier(150_000, 20, seed=2)])
    windows, history, spans = WindowGrid(both, sample_rate_hz=RATE_HZ), None, []
    for first, rows in (
        (0, [0]),
        (30_000, [0, 1]),
        (60_000, [1, 0]),
        (90_000, [1]),
        (120_000, [1]),
    ):
        piece = block(iq[0], GRID_NS + round(first * 1e9 / RATE_HZ))
        piece = replace(
            piece,
            channels=tuple((CHANNEL, other)[row] for row in rows),
            iq=iq[rows, first : first + 30_000],
        )
        if history is None:
            history = ChannelHistory(piece)
        else:
            history.append(piece)
        spans += windows.add(history)
        history.forget(windows.settled[rows])
    given = {c: [s[1:3] for s in spans if s.channel == c] for c in (CHANNEL, other)}
    assert given[CHANNEL] == [(0, 24_000), (24_000, 48_000), (48_000, 72_000)]
    assert given[other] == [
        (48_000, 72_000),
        (72_000, 96_000),
        (96_000, 120_000),
        (120_000, 144_000),
    ]
    assert windows.since_utc_ns[1] == GRID_NS + 4 * SECOND_NS


def test_what_precedes_the_first_whole_window_is_not_claimed() -> None:
    windows = grid()
    windows.add(ChannelHistory(block(with_carrier(90_000, 20), GRID_NS + SECOND_NS // 2)))
    assert windows.since_utc_ns[0] == GRID_NS + 2 * SECOND_NS
