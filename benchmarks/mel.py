"""Samples per second of our mel spectrogram against librosa's, on the same data, one thread.

librosa takes real signals only: it gets the real part, for which its transform needs half the work
and its bank half the bins. Run with: python benchmarks/mel.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is imported, or it is too late

import librosa  # noqa: E402
import numpy as np  # noqa: E402

from heimdall_edge.signal.mel import MelProfile, mel_spectrogram  # noqa: E402

N_SAMPLES = 480_000
N_ROUNDS = 15
NOISE_POWER = 1e-4


def profile_of(n_fft: int, hop_length: int, n_mels: int) -> MelProfile:
    return MelProfile(
        sample_rate_hz=16_000.0,
        n_fft=n_fft,
        hop_length=hop_length,
        window="hann",
        n_mels=n_mels,
        n_frames=1 + (N_SAMPLES - n_fft) // hop_length,
        scale="mel",
        fmin_hz=-8_000.0,
        fmax_hz=8_000.0,
    )


def librosas(real: np.ndarray, profile: MelProfile) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=real,
        sr=profile.sample_rate_hz,
        n_fft=profile.n_fft,
        hop_length=profile.hop_length,
        n_mels=profile.n_mels,
        center=False,
    )
    return librosa.power_to_db(power, ref=NOISE_POWER)


def in_turn(calls: list[Callable[[], object]]) -> list[float]:
    """Least time of each call, seconds; they take turns, so that both meet the same machine."""
    best = [float("inf")] * len(calls)
    for _ in range(N_ROUNDS):
        for n, call in enumerate(calls):
            started = time.perf_counter()
            call()
            best[n] = min(best[n], time.perf_counter() - started)
    return best


def main() -> None:
    pairs = np.random.default_rng(1).standard_normal((N_SAMPLES, 2), np.float32) * 0.01
    iq = pairs.astype(np.float32).view(np.complex64)[:, 0]
    real = iq.real.copy()
    print(f"{'n_fft':>6} {'hop':>5} {'mels':>5} {'ours':>11} {'librosa':>11} {'ratio':>6}")
    for shape in ((256, 64, 64), (512, 128, 128), (1024, 256, 128), (2048, 512, 128)):
        profile = profile_of(*shape)
        ours_s, theirs_s = in_turn(
            [
                lambda p=profile: mel_spectrogram(iq, p.sample_rate_hz, NOISE_POWER, p),
                lambda p=profile: librosas(real, p),
            ]
        )
        rates = f"{N_SAMPLES / ours_s / 1e6:7.1f} MS/s {N_SAMPLES / theirs_s / 1e6:7.1f} MS/s"
        print("{:>6} {:>5} {:>5}".format(*shape), rates, f"{theirs_s / ours_s:6.2f}")


if __name__ == "__main__":
    main()
