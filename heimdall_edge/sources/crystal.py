"""How fast a receiver's crystal runs, from how late its samples come.

A crystal that is fast by ε gives its samples early: the lateness of the latest sample, against the
nominal rate, falls by ε each second. A Kalman filter follows lateness and its slope; losses and
retunings move the lateness alone, so that the slope outlives them.
"""

from __future__ import annotations

import math

PRIOR_PPM = 100.0
"""σ of a crystal that nothing is known of: half of what an RTL-SDR's may be off."""
WANDER_PPM = 0.1
"""σ of what temperature adds to ε within a second, as a random walk: 0.8 ppm in a minute."""
LEAST_SCATTER_S = 10e-6
OUTLIER_SIGMAS, OUTLIERS_MEAN_A_STEP = 4.0, 3
BIAS_SHARE, BIASED = 0.1, 0.6
"""Surprises, in their σ, averaged over ten: beyond that they lean to one side (2.6 σ), and the
crystal wanders faster than thought, as while it warms up."""
DOUBT, MOST_DOUBT_PPM = 2.0, 5.0
"""Then the slope's variance grows by so much each time, up to that σ."""


class Crystal:
    """Follows a crystal's error; all lateness is in seconds of nominal sample time.

    Parameters
    ----------
    path_wander_s
        σ of what the path's least delay changes by within a second, as a random walk.
    """

    def __init__(self, *, path_wander_s: float) -> None:
        self._path_wander_s = path_wander_s
        self._slope = 0.0  # of the lateness, s/s: -ε
        self._slope_var = (PRIOR_PPM * 1e-6) ** 2
        self._lateness_s: float | None = None
        self._lateness_var = self._cross_var = 0.0
        self._at_s = 0.0
        self._outliers = 0
        self._bias = 0.0

    @property
    def ppm(self) -> float:
        """By how much it is fast."""
        return (1 / (1 + self._slope) - 1) * 1e6

    @property
    def sigma_ppm(self) -> float:
        """Standard deviation of :attr:`ppm` against the clock that arrivals are stamped with."""
        return math.sqrt(self._slope_var) * 1e6

    def forget_lateness(self) -> None:
        """The lateness starts anew (a loss, a retuning); what is known of the slope stays."""
        self._lateness_s = None
        self._cross_var = 0.0
        self._outliers, self._bias = 0, 0.0

    def note(self, at_s: float, lateness_s: float, *, scatter_s: float) -> None:
        """Take a measured lateness, of standard deviation ``scatter_s``, at a sample's time."""
        elapsed_s = max(0.0, at_s - self._at_s)
        self._at_s = at_s
        noise_var = max(scatter_s, LEAST_SCATTER_S) ** 2
        self._slope_var += (WANDER_PPM * 1e-6) ** 2 * elapsed_s
        if self._lateness_s is None:
            self._lateness_s, self._lateness_var, self._cross_var = lateness_s, noise_var, 0.0
            return
        self._predict(elapsed_s)
        self._update(lateness_s, noise_var)

    def _predict(self, elapsed_s: float) -> None:
        assert self._lateness_s is not None
        self._lateness_s += self._slope * elapsed_s
        self._lateness_var += elapsed_s * (
            2 * self._cross_var + elapsed_s * self._slope_var + self._path_wander_s**2
        )
        self._cross_var += self._slope_var * elapsed_s

    def _update(self, lateness_s: float, noise_var: float) -> None:
        assert self._lateness_s is not None
        surprise_s = lateness_s - self._lateness_s
        variance = self._lateness_var + noise_var
        if surprise_s**2 > OUTLIER_SIGMAS**2 * variance:
            self._outliers += 1
            if self._outliers >= OUTLIERS_MEAN_A_STEP:
                self.forget_lateness()
            return
        self._outliers = 0
        self._bias += BIAS_SHARE * (surprise_s / math.sqrt(variance) - self._bias)
        gain, slope_gain = self._lateness_var / variance, self._cross_var / variance
        self._lateness_s += gain * surprise_s
        self._slope += slope_gain * surprise_s
        self._slope_var -= slope_gain * self._cross_var
        self._cross_var *= 1 - gain
        self._lateness_var *= 1 - gain
        if abs(self._bias) > BIASED and self.sigma_ppm < MOST_DOUBT_PPM:
            self._slope_var *= DOUBT
