"""How long a receiver that failed is left alone before it is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

JITTER = 0.2
"""Share of a pause by which it is lengthened at random: receivers that failed together must not
knock together."""


class BackOff:
    """Pauses that double from ``first_s`` to ``longest_s``, and begin anew after a success.

    Whoever asked for a longer pause gets it, whatever the cap.
    """

    def __init__(
        self, *, first_s: float, longest_s: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._chance = chance
        self._next_s = first_s

    def succeeded(self) -> None:
        """It gave data: the next failure is a new one."""
        self._next_s = self._first_s

    def pause_s(self, *, at_least_s: float = 0.0) -> float:
        """The pause after another failure, seconds."""
        pause_s = max(self._next_s, at_least_s)
        self._next_s = min(2 * self._next_s, self._longest_s)
        return pause_s * (1 + JITTER * self._chance())
