from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.signal.long_fft import LongFft, phasor


@pytest.mark.parametrize("n_fft", [1, 7, 12, 1_000, 38_400, 65_536])
def test_every_bin_stands_where_it_says_and_is_the_transforms(n_fft: int) -> None:
    rng = np.random.default_rng(1)
    frames = (rng.standard_normal((2, n_fft)) + 1j * rng.standard_normal((2, n_fft))).astype("c8")
    fft = LongFft(n_fft)
    spectra = fft.of(frames.copy())
    bins = np.arange(-n_fft, n_fft)
    expected = np.fft.fft(frames.astype(np.complex128))[:, bins % n_fft]
    error = np.abs(spectra[:, fft.position(bins)] - expected).max()
    assert error < 2e-6 * np.sqrt(n_fft) * np.log2(n_fft + 1)
    assert fft.position(np.array([0])) == 0


def test_bins_that_nobody_wants_are_left_out_and_the_others_stay_the_same() -> None:
    rng = np.random.default_rng(2)
    frames = (rng.standard_normal((3, 38_400)) + 1j * rng.standard_normal((3, 38_400))).astype("c8")
    fft = LongFft(38_400)
    bins = np.concatenate(([0], np.arange(-70, 180), [12_345]))
    whole = fft.of(frames.copy())[:, fft.position(bins)]
    fft.keep(bins)
    fewer = fft.of(frames.copy())
    assert fewer.shape[1] < 38_400 / 3
    np.testing.assert_array_equal(fewer[:, fft.position(bins)], whole)
    assert fft.position(np.array([0])) == 0
    fft.keep(np.arange(38_400))
    np.testing.assert_array_equal(fft.of(frames.copy())[:, fft.position(bins)], whole)


def test_a_phasor_is_exact_after_many_turns() -> None:
    cycles = np.array([0.0, 0.25, -0.5, 1e6 + 0.125])
    np.testing.assert_allclose(phasor(cycles), [1, 1j, -1, np.sqrt(0.5) * (1 + 1j)], atol=1e-6)
