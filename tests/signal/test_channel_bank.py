from __future__ import annotations

from fractions import Fraction

import numpy as np

from heimdall_edge.signal.channel_bank import ChannelBank
from heimdall_edge.signal.channel_plan import channel_taps, plan_frames
from heimdall_edge.signal.long_fft import LongFft
from heimdall_edge.types import ChannelSpec

RATE_HZ, WIDTH_HZ, DECIMATION = 0.25e6, 12_500.0, 16
TAPS = channel_taps(RATE_HZ, WIDTH_HZ)
PLAN = plan_frames(sample_rate_hz=RATE_HZ, half_length=len(TAPS) // 2, quantum=DECIMATION)
FFT = LongFft(PLAN.n_fft)
OFFSETS = {"a": Fraction(1, 7), "b": Fraction(0), "c": Fraction(-3, 11)}


def bank(*names: str) -> ChannelBank:
    made = ChannelBank(PLAN, FFT, bandwidth_hz=WIDTH_HZ, decimation=DECIMATION)
    for name, offset in OFFSETS.items():
        made.add(ChannelSpec(name, 433e6 + float(offset) * RATE_HZ, WIDTH_HZ), TAPS, offset)
    made.limit_to(names)
    made.find_bins()
    return made


def frames(n_frames: int) -> np.ndarray:
    """Overlapping frames of one noise, complex64 [n_frames, n_fft]."""
    rng = np.random.default_rng(1)
    n = PLAN.n_fft + (n_frames - 1) * PLAN.hop
    noise = (rng.standard_normal(n) + 1j * rng.standard_normal(n)).astype(np.complex64)
    return np.stack([noise[i * PLAN.hop :][: PLAN.n_fft] for i in range(n_frames)])


def filtered(made: ChannelBank, given: np.ndarray, first_index: int = PLAN.margin) -> np.ndarray:
    out = np.zeros((len(made.channels), len(given), made.n_kept), np.complex64)
    made.filter(FFT.of(given.copy()), first_index, out=out)
    return out


def test_a_frame_gives_what_mixing_and_convolving_it_gives() -> None:
    given = frames(1)
    out = filtered(bank("a", "b", "c"), given)
    n = np.arange(PLAN.n_fft)
    for row, offset in zip(out, OFFSETS.values(), strict=True):
        mixed = given[0] * np.exp(-2j * np.pi * float(offset) * n)
        expected = np.convolve(mixed, TAPS, "same")[PLAN.margin : PLAN.n_fft - PLAN.margin]
        np.testing.assert_allclose(row[0], expected[::DECIMATION], atol=2e-5)


def test_the_oscillators_go_on_from_frame_to_frame() -> None:
    given = frames(3)
    together = filtered(bank("a", "c"), given)
    for i in range(3):
        alone = filtered(bank("a", "c"), given[i : i + 1], PLAN.margin + i * PLAN.hop)
        np.testing.assert_allclose(together[:, i], alone[:, 0], atol=1e-6)


def test_only_the_channels_named_are_computed_in_their_order() -> None:
    given = frames(2)
    made = bank("a", "b", "c")
    whole = filtered(made, given)
    made.limit_to({"c", "a", "unknown"})
    made.find_bins()
    assert [channel.name for channel in made.channels] == ["a", "c"]
    np.testing.assert_allclose(filtered(made, given), whole[[0, 2]], atol=1e-6)
    made.limit_to(())
    made.find_bins()
    assert made.channels == ()
    assert filtered(made, given).shape == (0, 2, made.n_kept)
    made.limit_to({"b"})
    made.find_bins()
    np.testing.assert_allclose(filtered(made, given), whole[[1]], atol=1e-6)
