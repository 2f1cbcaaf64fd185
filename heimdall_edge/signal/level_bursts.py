"""When a channel speaks, of which only its level is known, a few times a second."""

from __future__ import annotations

from heimdall_edge.signal.level_floor import LevelFloor
from heimdall_edge.signal.level_spans import LevelSpan, Stretch, mean_power, to_db, to_power
from heimdall_edge.types import NS_PER_S


class LevelBursts:
    """Finds when a channel speaks, run by run.

    A value at ``open_db`` over the floor opens, back to where the level rose over ``close_db``;
    the first pause longer than ``hang_s`` under that closes. The floor in force is that of the
    values before.
    """

    def __init__(
        self,
        *,
        open_db: float,
        close_db: float,
        hang_s: float,
        min_duration_s: float,
        max_duration_s: float,
    ) -> None:
        self._open_ratio, self._close_ratio = to_power(open_db), to_power(close_db)
        self._hang_ns = round(hang_s * NS_PER_S)
        self._min_ns = round(min_duration_s * NS_PER_S)
        self._max_ns = round(max_duration_s * NS_PER_S)
        self._floor = LevelFloor()
        self._begin_run()

    def _begin_run(self) -> None:
        self._undecided: list[Stretch] = []
        self._risen: list[Stretch] = []
        self._start_utc_ns: int | None = None
        self._held_until_utc_ns = 0
        self._floor_at_start = 0.0
        self._decided_utc_ns: int | None = None

    @property
    def floor(self) -> float | None:
        return self._floor.power

    @property
    def settled_utc_ns(self) -> int | None:
        if self._start_utc_ns is not None:
            return self._start_utc_ns
        if self._decided_utc_ns is not None and self._risen:
            return max(self._risen[0].start_utc_ns, self._decided_utc_ns - self._max_ns)
        return self._decided_utc_ns

    def add(self, stretch: Stretch) -> list[LevelSpan]:
        """Take the next stretch; the first ones wait for a floor of their own."""
        self._undecided.append(stretch)
        spans: list[LevelSpan] = []
        if self._floor.power is not None:
            spans = self._decide_all()
        self._floor.add(stretch.power, duration_s=stretch.duration_s)
        if self._floor.power is not None:
            spans += self._decide_all()
        return spans

    def end_run(self) -> list[LevelSpan]:
        """Give what is still open, as far as it was held; the next stretch is of another run."""
        spans = [] if self._start_utc_ns is None else self._close()
        self._begin_run()
        return spans

    def _decide_all(self) -> list[LevelSpan]:
        waiting, self._undecided = self._undecided, []
        return [span for stretch in waiting for span in self._decide(stretch)]

    def _decide(self, stretch: Stretch) -> list[LevelSpan]:
        assert self._floor.power is not None
        self._decided_utc_ns = stretch.end_utc_ns
        holds = stretch.power >= self._close_ratio * self._floor.power
        if self._start_utc_ns is None and not holds:
            self._risen = []
            return []
        self._risen.append(stretch)
        if self._start_utc_ns is None:
            if stretch.power < self._open_ratio * self._floor.power:
                self._forget_before(stretch.end_utc_ns - self._max_ns)
                return []
            self._open(max(self._risen[0].start_utc_ns, stretch.end_utc_ns - self._max_ns))
        if holds:
            self._held_until_utc_ns = stretch.end_utc_ns
            return self._cut_long()
        silent_ns = stretch.end_utc_ns - self._held_until_utc_ns
        return self._close() if silent_ns > self._hang_ns else []

    def _open(self, start_utc_ns: int) -> None:
        assert self._floor.power is not None
        self._start_utc_ns, self._floor_at_start = start_utc_ns, self._floor.power

    def _close(self) -> list[LevelSpan]:
        spans = self._cut_long() + self._span_until(self._held_until_utc_ns)
        self._start_utc_ns, self._risen = None, []
        return spans

    def _cut_long(self) -> list[LevelSpan]:
        """Cut what is too long at whole multiples of the greatest duration in UTC."""
        spans: list[LevelSpan] = []
        while (
            self._start_utc_ns is not None
            and self._held_until_utc_ns - self._start_utc_ns > self._max_ns
        ):
            cut_utc_ns = (self._start_utc_ns // self._max_ns + 1) * self._max_ns
            spans += self._span_until(cut_utc_ns)
            self._open(cut_utc_ns)
            self._forget_before(cut_utc_ns)
        return spans

    def _forget_before(self, utc_ns: int) -> None:
        self._risen = [stretch for stretch in self._risen if stretch.end_utc_ns > utc_ns]

    def _span_until(self, end_utc_ns: int) -> list[LevelSpan]:
        start_utc_ns = self._start_utc_ns
        if start_utc_ns is None or end_utc_ns <= start_utc_ns:
            return []
        power = mean_power(self._risen, start_utc_ns, end_utc_ns)
        is_too_short = end_utc_ns - start_utc_ns < self._min_ns
        floor_db = to_db(self._floor_at_start)
        return [LevelSpan(start_utc_ns, end_utc_ns, to_db(power), floor_db, is_too_short)]
