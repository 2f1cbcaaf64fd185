from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from heimdall_edge.signal.floor import (
    LEAST_NOISE_POWER,
    NoiseFloors,
    gamma_quantile,
    independent_averages,
    independent_columns,
    quiet_level,
)
from heimdall_edge.signal.stft import Stft, hann

HOP_S = 0.64e-3
SLOT = 160
"""Frames of a tenth of a second."""


def noise_density(rng: np.random.Generator, n_frames: int, power: float = 1.0) -> np.ndarray:
    iq = rng.standard_normal(((n_frames + 1) * 10, 2), np.float32) * np.float32(
        math.sqrt(power / 2)
    )
    return Stft(hann(20)).power_density(iq.view(np.complex64)[:, 0])


def tracked(slots: list[np.ndarray]) -> NoiseFloors:
    """The floor of a single channel."""
    floor = NoiseFloors(n_channels=1, n_columns=20)
    for slot in slots:
        update(floor, slot)
    return floor


def update(floor: NoiseFloors, slot: np.ndarray) -> None:
    floor.update(slot[None], np.array([0]), hop_s=HOP_S)


def error_db(floor: NoiseFloors, power: float = 1.0) -> float:
    assert np.isfinite(floor.power[0])
    return 10 * math.log10(floor.power[0] / power)


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("shape", [4.0, 9.0, 15.2, 100.0])
def test_the_gamma_quantile_agrees_with_scipy(shape: float, probability: float) -> None:
    expected = stats.gamma.ppf(probability, shape) / shape
    assert gamma_quantile(shape, probability) == pytest.approx(expected, rel=5e-3)


def test_averages_and_columns_are_worth_what_the_scatter_of_noise_says() -> None:
    density = noise_density(np.random.default_rng(1), 160_000)
    cells = density[: len(density) // 16 * 16].reshape(-1, 16, 20).mean(axis=1)
    frames = density.mean(axis=1)
    assert 1 / cells.var() == pytest.approx(independent_averages(16), rel=0.03)
    # All columns of a frame are a closed ring: two more neighbours than within a band.
    assert 1 / density[:, 1:17].mean(axis=1).var() == pytest.approx(
        independent_columns(16), rel=0.03
    )
    assert 1 / frames.var() == pytest.approx(independent_columns(20), rel=0.1)


def test_a_tenth_of_a_second_gives_the_floor_to_a_fifth_of_a_decibel() -> None:
    rng = np.random.default_rng(2)
    errors_db = [error_db(tracked([noise_density(rng, SLOT)])) for _ in range(200)]
    assert abs(np.mean(errors_db)) < 0.1
    assert np.std(errors_db) < 0.2
    assert np.max(np.abs(errors_db)) < 1.0


def test_ten_seconds_give_the_floor_within_a_tenth_of_a_decibel() -> None:
    rng = np.random.default_rng(3)
    floor = tracked([noise_density(rng, SLOT, power=1e-6) for _ in range(100)])
    assert abs(error_db(floor, 1e-6)) < 0.1


def test_a_carrier_that_never_ends_does_not_raise_the_floor() -> None:
    rng = np.random.default_rng(4)
    slots = [noise_density(rng, SLOT) for _ in range(300)]
    for slot in slots:
        slot[:, 8:11] += np.float32(1e6)  # 60 dB: a Hann window's main lobe
    assert abs(error_db(tracked(slots))) < 0.5


def test_transmissions_over_the_whole_channel_for_most_of_the_time_do_not_raise_the_floor() -> None:
    rng = np.random.default_rng(5)
    slots = [noise_density(rng, SLOT, power=1e4 if n % 10 < 8 else 1.0) for n in range(300)]
    assert error_db(tracked(slots)) < 1.5


def test_short_pauses_between_short_bursts_are_enough() -> None:
    rng = np.random.default_rng(6)
    slots = [noise_density(rng, SLOT) for _ in range(20)]
    for slot in slots:
        slot[np.arange(SLOT) % 4 != 0] *= np.float32(1e3)  # no cell of 16 frames is free
    assert error_db(tracked(slots)) < 3.0


def test_the_floor_follows_noise_down_within_five_seconds_and_up_within_a_minute() -> None:
    rng = np.random.default_rng(7)
    floor = tracked([noise_density(rng, SLOT, power=10.0) for _ in range(600)])
    for _ in range(50):
        update(floor, noise_density(rng, SLOT))
    assert abs(error_db(floor)) < 1.5
    for _ in range(600):
        update(floor, noise_density(rng, SLOT, power=10.0))
    assert abs(error_db(floor, 10.0)) < 1.5


def test_digital_silence_reads_as_the_least_noise() -> None:
    assert tracked([np.zeros((SLOT, 20), np.float32)]).power[0] == pytest.approx(
        LEAST_NOISE_POWER, rel=1.0
    )


def test_what_is_not_finite_is_left_out() -> None:
    rng = np.random.default_rng(8)
    spoilt = noise_density(rng, SLOT)
    spoilt[::7] = np.nan
    floor = tracked([noise_density(rng, SLOT), spoilt, np.full((SLOT, 20), np.inf, np.float32)])
    assert abs(error_db(floor)) < 0.6
    assert np.isnan(tracked([np.full((SLOT, 20), np.nan, np.float32)]).power[0])


def test_frames_that_fill_no_cell_give_no_floor() -> None:
    assert np.isnan(tracked([noise_density(np.random.default_rng(9), 15)]).power[0])
    assert NoiseFloors.whole_cells(1) == 16
    assert NoiseFloors.whole_cells(17) == 32


def test_channels_together_read_what_each_reads_alone_and_those_left_out_stay() -> None:
    rng = np.random.default_rng(12)
    slots = [
        np.stack([noise_density(rng, SLOT, power=10.0**i) for i in range(3)]) for _ in range(4)
    ]
    floors = NoiseFloors(n_channels=3, n_columns=20)
    for slot in slots[:3]:
        floors.update(slot, np.arange(3), hop_s=HOP_S)
    floors.update(slots[3][[2, 0]], np.array([2, 0]), hop_s=HOP_S)
    for row, n_slots in enumerate((4, 3, 4)):
        single = tracked([slot[row] for slot in slots[:n_slots]])
        assert floors.power[row] == pytest.approx(single.power[0], rel=1e-9)


@pytest.mark.parametrize("n_frames", [8, 38, 400])
def test_quiet_columns_beside_a_carrier_read_the_noise(n_frames: int) -> None:
    rng = np.random.default_rng(10)
    iq = rng.standard_normal(((n_frames + 1) * 256, 2), np.float32).view(np.complex64)[:, 0]
    iq += 300 * np.exp(2j * np.pi * 0.1 * np.arange(len(iq))).astype(np.complex64)
    density = Stft(hann(512)).mean_power_density(iq)
    assert 10 * math.log10(quiet_level(density, n_frames=n_frames) / 2) == pytest.approx(
        0.0, abs=0.4
    )
