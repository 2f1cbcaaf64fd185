"""The constants of the physics that the reference model believes in.

Shared by the model, by the simulated scenes and by the Cramér–Rao bound, so that what is judged
is the inference and not a difference of opinion.
"""

SPEED_OF_LIGHT_KM_PER_US = 0.299792458

MIN_DISTANCE_KM = 0.03
"""Nearer than this the log-distance law ends: antenna heights, near field."""

# Shadowing grows near a receiver, where height and street corners decide. Derived by
# fit_level_law.py (9.13 dB, exponent 0.13) from the 'fit' blocks of the July campaign.
SHADOWING_SD_DB = 9.1
SHADOWING_DISTANCE_KM = 0.3
SHADOWING_EXPONENT = 0.13
SHADOWING_MIN_DB = 5.0
SHADOWING_MAX_DB = 14.0

EXPONENT_MEAN = 3.3
EXPONENT_SD = 0.65
"""Path-loss exponent: 95 % of the prior within 1.9…4.5, from a wave-guide of a street to forest."""
POWER_SD_DB = 30.0
"""Level at the network's radius, about the mean level that was heard."""

LEVEL_OUTLIER_SHARE = 0.01
LEVEL_OUTLIER_RANGE_DB = 120.0
"""A receiver that lies (stuck, deaf, misplaced) reads anything in this range."""
SILENCE_OUTLIER_SHARE = 0.01

ARRIVAL_OUTLIER_SHARE = 0.03
ARRIVAL_QUORUM = 0.6
"""So many of the arrival times must agree, and three at least."""

PRIOR_SCALE = 1.0
PRIOR_DECLINE = 8.5
"""The transmitter is in the network or near it: density (1 + (r / radius)⁴)^(-decline / 4)."""
