"""By how much two receivers read the same signal at different frequencies."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

from heimdall_edge.signal.spectrum import Spectrum
from heimdall_edge.types import Float32, Float64


def frequency_offset(
    late: Spectrum,
    early: Spectrum,
    max_offset_hz: float,
    max_delay_s: float,
    *,
    delay_s: float | None,
) -> float:
    """By how much ``late`` reads a higher frequency, Hz.

    At the right delay the product of one with the other's conjugate holds a line at the offset:
    the highest of all delays in the range is taken, or that at ``delay_s`` where it is known.
    """
    rate_hz = len(late.waveform) / late.window.duration_s
    if delay_s is not None:
        lag = round(delay_s * rate_hz)
    else:
        reach = math.ceil(max_delay_s * rate_hz)
        highest = {
            lag: float(_lines(late, early, lag, max_offset_hz, padding=2)[1].max())
            for lag in range(-reach, reach + 1)
        }
        lag = max(highest, key=highest.__getitem__)
    hz, power = _lines(late, early, lag, max_offset_hz, padding=4)
    top = int(np.argmax(power))
    return float(hz[top] + vertex(power, top) * (hz[1] - hz[0])) if power[top] > 0 else 0.0


def _lines(
    late: Spectrum, early: Spectrum, lag: int, max_hz: float, *, padding: int
) -> tuple[Float64, Float32]:
    """Frequencies within ± ``max_hz``, and the power there of late[n] · early[n − lag]*."""
    x, y = late.waveform[max(lag, 0) :], early.waveform[max(-lag, 0) :]
    n = min(len(x), len(y))
    rate_hz = len(late.waveform) / late.window.duration_s
    step = max(1, min(int(rate_hz / (4 * max_hz)), n // 8))
    n -= n % step
    product = np.einsum("ij,ij->i", x[:n].reshape(-1, step), y[:n].conj().reshape(-1, step))
    size = scipy.fft.next_fast_len(padding * len(product))
    bin_hz = rate_hz / step / size
    reach = max(1, min(int(max_hz / bin_hz), size // 2 - 1))
    power = np.abs(scipy.fft.fft(product, size)) ** 2
    around = np.concatenate((power[-reach:], power[: reach + 1]))
    hz = np.asarray(np.arange(-reach, reach + 1) * bin_hz, np.float64)
    return hz, np.asarray(around, np.float32)


def vertex(height: Float32, top: int) -> float:
    """Where the parabola through a top and its neighbours has its own, in steps from the top."""
    below, at, above = (float(height[(top + i) % len(height)]) for i in (-1, 0, 1))
    bend = 2 * at - below - above
    return 0.5 * (above - below) / bend if bend > 0 else 0.0
