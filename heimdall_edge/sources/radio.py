"""A simulated receiver: from what reaches the antenna to the numbers of an 8-bit converter.

::

    Reception ─┐
    noise ─────┴─▶ planes ─▶ IQ imbalance ─▶ DC spike ─▶ round, clip ─▶ cu8

Levels: a signal of L dBm at the antenna is L + ``antenna_offset_db`` + gain − ``full_scale_dbm``
in dBFS, where a full-scale complex tone is 0 dBFS. Noise (ITU-R P.372): over kT₀·(sample rate)
stands f = fr + (fa − 1) · offset, with fr the receiver's noise figure and fa the external noise
as ratios: what comes through the antenna shares the antenna's error.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.config_simulation import SimulatedReceiver
from heimdall_edge.sources.seeds import generator
from heimdall_edge.types import NS_PER_S, ClockSource, ClockState, Float32

THERMAL_NOISE_DBM_PER_HZ = -173.975
"""kT₀ at 290 K."""
HALF_SCALE = 127.5
"""Steps of a cu8 converter from the middle to full scale."""

CLOCK_SIGMA_S = {ClockSource.NONE: 30e-3, ClockSource.NTP: 3e-3}
"""How wrong a host's stamps are where the configuration does not say; the others must say."""


class Radio:
    """One receiver's imperfections; the same for the same seed and receiver.

    A crystal that is ``frequency_error_ppm`` fast tunes that much too high and samples that much
    too often.
    """

    def __init__(
        self,
        *,
        settings: SimulatedReceiver,
        receiver_id: str,
        seed: int,
        center_freq_hz: float,
        sample_rate_hz: float,
        gain_db: float,
        clock: ClockState,
    ) -> None:
        crystal = 1 + settings.frequency_error_ppm * 1e-6
        self.tuned_hz = center_freq_hz * crystal
        """What it is tuned to in truth."""
        self.sample_rate_hz = sample_rate_hz * crystal
        """What it samples at in truth."""
        self._settings = settings
        self._noise_name = (seed, "noise", receiver_id)
        self._gain_db = gain_db
        chance = generator(seed, "radio", receiver_id)
        self.clock_error_ns = round(NS_PER_S * _clock_sigma_s(clock) * chance.standard_normal())
        """What its stamps read late: one draw for the whole run."""
        self._dc_phase_rad = chance.uniform(0, 2 * math.pi)
        self._noise_sigma = math.sqrt(10 ** (self.noise_dbfs / 10) / 2)

    @property
    def noise_dbfs(self) -> float:
        """Power of the noise in the whole sampled band."""
        settings = self._settings
        external = (_ratio(settings.man_made_noise_db) - 1) * _ratio(settings.antenna_offset_db)
        noise_dbm = (
            THERMAL_NOISE_DBM_PER_HZ
            + 10 * math.log10(self.sample_rate_hz)
            + 10 * math.log10(_ratio(settings.noise_figure_db) + external)
        )
        return noise_dbm + self._gain_db - settings.full_scale_dbm

    def amplitude(self, level_dbm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Amplitude, full scale 1.0, of signals of a level between isotropic antennas."""
        settings = self._settings
        over_dbm = self._gain_db + settings.antenna_offset_db - settings.full_scale_dbm
        return np.asarray(10 ** ((level_dbm + over_dbm) / 20))

    def noise(self, chunk: int, n_samples: int) -> Float32:
        """The noise of a numbered chunk; float32 [2, n_samples]: I and Q, full scale 1.0."""
        random = generator(*self._noise_name, block=chunk)
        planes = random.standard_normal((2, n_samples), dtype=np.float32)
        planes *= np.float32(self._noise_sigma)
        return planes

    def digitise(self, planes: Float32) -> NDArray[np.uint8]:
        """Planes [2, n] (I, Q; full scale 1.0) as uint8 [2 n], interleaved.

        The I branch is too strong and the Q branch too weak by half the gain imbalance each, and
        Q takes in some of I by the phase imbalance.
        """
        settings = self._settings
        in_phase, quadrature = planes
        branch = 10 ** (settings.iq_gain_imbalance_db / 40)
        phase_rad = math.radians(settings.iq_phase_imbalance_deg)
        dc_i = settings.dc_offset * math.cos(self._dc_phase_rad)
        dc_q = settings.dc_offset * math.sin(self._dc_phase_rad)
        leaked = in_phase * np.float32(math.sin(phase_rad) / branch)
        leaked += quadrature * np.float32(math.cos(phase_rad) / branch)
        samples = np.empty(2 * planes.shape[1], np.uint8)
        samples[0::2] = _quantise(in_phase * np.float32(branch), dc_i)
        samples[1::2] = _quantise(leaked, dc_q)
        return samples


def _quantise(branch: Float32, dc: float) -> NDArray[np.uint8]:
    """One branch, full scale 1.0, as a converter's numbers: rounded, and clipped at 0 and 255."""
    steps = branch * np.float32(HALF_SCALE)
    steps += np.float32(HALF_SCALE * (1 + dc))
    np.rint(steps, out=steps)
    np.clip(steps, 0, 2 * HALF_SCALE, out=steps)
    return steps.astype(np.uint8)


def _clock_sigma_s(clock: ClockState) -> float:
    return CLOCK_SIGMA_S.get(clock.source, 0.0) if clock.sigma_s is None else clock.sigma_s


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 10))
