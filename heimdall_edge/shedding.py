"""What a receiver's worker gives up where the processor does not suffice, and in which order.

::

    all ─▶ no mel ─▶ without the channel of lowest priority ─▶ … ─▶ the one of highest priority
     ◀──────────────── after a while of ease, as far as there is surely room

A worker that needs longer for its samples than they lasted falls behind, and would drop blocks of
every channel alike. Instead it gives up one thing after the other, says so, and takes it back when
there is room. Load is the time the worker needed over the time that the samples lasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.config import Channel

WINDOW_S = 2.0
"""Load is judged over so much time, the samples' or the worker's: a pause is no overload."""
OVERLOAD = 0.95
FAR_OVER = 1.5
"""Beyond this load a step at a time takes too long: as many channels go as the load demands."""
EASE = 0.6
LEAST_LOAD = 1e-3
FIRST_EASE_S, LONGEST_EASE_S = 30.0, 900.0
"""How long it must be at ease before one step is taken back; doubled each time that was too soon,
so that a worker at its limit does not swing."""
TOO_SOON_S = 60.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What is still worked on."""

    channels: tuple[str, ...]
    with_mel: bool
    given_up: tuple[str, ...] = ()
    """In words, in the order it was given up; empty: nothing is."""


class Shedding:
    """Decides what one receiver's worker works on.

    Parameters
    ----------
    channels
        What it was asked to; of equal priority, those that come last go first.
    """

    def __init__(self, channels: Sequence[Channel], *, has_mel: bool) -> None:
        by_rank = sorted(channels, key=lambda c: -c.priority)  # stable: first named, last given up
        names = tuple(channel.name for channel in by_rank)
        self._limits = [Limit(names, with_mel=has_mel)]
        given_up: tuple[str, ...] = ()
        if has_mel:
            given_up = ("mel spectrograms",)
            self._limits.append(Limit(names, with_mel=False, given_up=given_up))
        for n_left in range(len(names) - 1, 0, -1):
            given_up = (*given_up, f"channel {names[n_left]}")
            self._limits.append(Limit(names[:n_left], with_mel=False, given_up=given_up))
        self._step = 0
        self._busy_s = self._lasted_s = 0.0
        self._has_dropped = False
        self._at_s = self._eased_at_s = 0.0
        self._took_back_at_s: float | None = None
        self._ease_s = FIRST_EASE_S
        self.load = 0.0
        """Of the last whole window."""

    @property
    def limit(self) -> Limit:
        """What is in force."""
        return self._limits[self._step]

    def worked(self, *, busy_s: float, lasted_s: float, dropped: bool) -> Limit | None:
        """Take note of a block; the new limit, where it changes.

        Parameters
        ----------
        busy_s
            How long the worker took for it.
        lasted_s
            How long its samples lasted.
        dropped
            Whether blocks before it had to be dropped.
        """
        self._busy_s += busy_s
        self._lasted_s += lasted_s
        self._has_dropped |= dropped
        passed_s = max(self._lasted_s, self._busy_s)
        if passed_s < WINDOW_S:
            return None
        self._at_s += passed_s
        self.load = self._busy_s / self._lasted_s
        is_over = self.load > OVERLOAD or (self._has_dropped and self.load > EASE)
        self._busy_s = self._lasted_s = 0.0
        self._has_dropped = False
        return self._judge(is_over=is_over)

    def _judge(self, *, is_over: bool) -> Limit | None:
        if is_over or self.load > EASE:
            self._eased_at_s = self._at_s
        if is_over and self._step < len(self._limits) - 1:
            took_back_at_s = self._took_back_at_s
            if took_back_at_s is not None and self._at_s - took_back_at_s < TOO_SOON_S:
                self._ease_s = min(2 * self._ease_s, LONGEST_EASE_S)
            self._step = self._step_down()
            return self.limit
        if self._step and self._at_s - self._eased_at_s >= self._ease_s:
            self._step = self._step_up()
            self._took_back_at_s = self._eased_at_s = self._at_s
            return self.limit
        return None

    def _step_down(self) -> int:
        """The next step; far over the limit, the first that leaves as few channels as it takes."""
        following = self._step + 1
        if self.load <= FAR_OVER:
            return following
        affordable = int(len(self.limit.channels) * OVERLOAD / self.load)
        later = range(following, len(self._limits))
        return next((i for i in later if len(self._limits[i].channels) <= affordable), later[-1])

    def _step_up(self) -> int:
        """The step before; where there is much room, the first that surely has it.

        Work grows at most as the number of channels does; what mel costs is not known.
        """
        before = self._step - 1
        affordable = int(len(self.limit.channels) * EASE / max(self.load, LEAST_LOAD))
        earlier = range(1, self._step)
        return next((i for i in earlier if len(self._limits[i].channels) <= affordable), before)
