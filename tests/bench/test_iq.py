"""The made-up IQ: blocks that follow each other, and bursts where they should be."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from heimdall_edge.bench.iq import BLOCK_SAMPLES, CENTER_FREQ_HZ, N_SAMPLES, SAMPLE_RATE_HZ, Band


@pytest.fixture(scope="module")
def band() -> Band:
    return Band.of(5)


@pytest.mark.parametrize("n_block", BLOCK_SAMPLES)
def test_blocks_follow_each_other_across_the_rounds(band, n_block):
    blocks = list(islice(band.blocks(n_block), N_SAMPLES // n_block + 2))
    for before, block in pairwise(blocks):
        assert block.n_samples == n_block
        assert block.sample_start == before.sample_start + n_block
        assert abs(block.start_utc_ns - before.end_utc_ns) <= 1
    np.testing.assert_array_equal(blocks[-1].samples, blocks[1].samples)


def test_a_burst_stands_25_db_over_the_noise_on_one_channel_in_four(band):
    assert band.n_active == 2
    first = round(0.4 * SAMPLE_RATE_HZ)
    pairs = band.samples[2 * first : 2 * (first + 2**18)].astype(np.float32) - 127.4
    power = np.abs(np.fft.fft(pairs.view(np.complex64))) ** 2
    hz = np.fft.fftfreq(2**18, 1 / SAMPLE_RATE_HZ)

    def level_db(channel) -> float:
        offset_hz = channel.frequency_hz - CENTER_FREQ_HZ
        return 10 * np.log10(power[np.abs(hz - offset_hz) < channel.bandwidth_hz / 2].mean())

    levels_db = np.array([level_db(channel) for channel in band.channels])
    assert levels_db[[1, 2, 3]] == pytest.approx(levels_db[1], abs=0.5)
    expected_db = 10 * np.log10(8**2 / (2 * 10**2) * SAMPLE_RATE_HZ / 12_500)
    assert levels_db[[0, 4]] - levels_db[1] == pytest.approx(expected_db, abs=1)


def test_the_samples_are_far_from_the_converters_limits(band):
    assert np.mean((band.samples == 0) | (band.samples == 255)) < 1e-6
    assert not band.samples.flags.writeable
