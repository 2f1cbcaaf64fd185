"""What an RTL2832U can do: its sample rates, and the gain steps of the tuners beside it.

After osmocom's librtlsdr (``rtlsdr_set_sample_rate``, ``rtlsdr_get_tuner_gains``). A gain step is
a name: its decibels are not calibrated, and rise from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CRYSTAL_HZ = 28_800_000
RATE_RANGES_HZ = ((225_001, 300_000), (900_001, 3_200_000))
SETTLE_S = 0.1
"""After opening or tuning, what came so long is not of the new frequency, or not settled."""

R82XX_STEPS = (
    0, 9, 14, 27, 37, 77, 87, 125, 144, 157, 166, 197, 207, 229, 254, 280, 297, 328, 338, 364, 372,
    386, 402, 421, 434, 439, 445, 480, 496,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tuner:
    """A tuner chip, as librtlsdr and rtl_tcp number and know it."""

    name: str
    gain_steps_tenth_db: tuple[int, ...]


TUNERS: dict[int, Tuner] = {
    0: Tuner("unknown tuner", ()),
    1: Tuner("E4000", (-10, 15, 40, 65, 90, 115, 140, 165, 190, 215, 240, 290, 340, 420)),
    2: Tuner("FC0012", (-99, -40, 71, 179, 192)),
    3: Tuner(
        "FC0013",
        (-99, -73, -65, -63, -60, -58, -54, 58, 61, 63, 65, 67, 68, 70, 71, 179, 181, 182, 184, 186,
         188, 191, 197),
    ),
    4: Tuner("FC2580", ()),
    5: Tuner("R820T", R82XX_STEPS),
    6: Tuner("R828D", R82XX_STEPS),
}  # fmt: skip
"""Number in ``enum rtlsdr_tuner``, and in rtl_tcp's header → tuner."""


def rate_is_possible(rate_hz: float) -> bool:
    """Whether the chip can sample so fast."""
    return any(low <= rate_hz <= high for low, high in RATE_RANGES_HZ)


def rate_problem(rate_hz: float) -> str | None:
    """Why the chip cannot sample so fast; ``None`` where it can."""
    if rate_is_possible(rate_hz):
        return None
    ranges = " or ".join(f"{low / 1e3:g}–{high / 1e3:g}" for low, high in RATE_RANGES_HZ)
    return f"sample_rate_hz {rate_hz:g}: an RTL2832U does {ranges} kHz"


def real_rate_hz(rate_hz: float) -> float:
    """The rate that the chip's divider makes of a rate that was asked for.

    Raises
    ------
    ValueError
        The chip cannot do that.
    """
    if problem := rate_problem(rate_hz):
        raise ValueError(problem)
    ratio = ((CRYSTAL_HZ << 22) // int(rate_hz)) & 0x0FFFFFFC
    return (CRYSTAL_HZ << 22) / (ratio | (ratio & 0x08000000) << 1)


def nearest_gain_db(gain_db: float, steps_tenth_db: Sequence[int]) -> float | None:
    """The step nearest to a gain, the lower of two; ``None`` where the tuner has no steps."""
    if not steps_tenth_db:
        return None
    return min(steps_tenth_db, key=lambda step: (abs(step - 10 * gain_db), step)) / 10
