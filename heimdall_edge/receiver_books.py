"""A receiver's books: the state it is in and why, what became of its samples, what it gave up.

::

    reader: enter, opened, gave ──┐                    ┌─▶ on_state (published at each change)
    worker: account, gave_up ─────┼─▶ ReceiverStatus ──┼─▶ metrics
    main:   look (silence) ───────┘                    └─▶ status() (published every minute)

States: ``starting → running ⇄ silent → reconnecting → running …``, and two that end it: ``failed``
(the operator must act) and ``disabled``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from heimdall_edge import journal
from heimdall_edge.metrics import Metrics
from heimdall_edge.shedding import Limit
from heimdall_edge.types import IQBlock, Observation, ReceiverState, ReceiverStatus, SampleCount

log = journal.logger("receiver")

SILENT_AFTER_S = 2.0
"""Without samples for so long, a radio is said to be silent."""
DROP_LINES_EVERY_S = 30.0
TROUBLE = {ReceiverState.SILENT, ReceiverState.RECONNECTING, ReceiverState.FAILED}


class ReceiverBooks:
    """Written by the threads of one receiver, read by whoever publishes them.

    ``_guard`` guards the status and the time of the latest samples; nobody is called under it.
    """

    def __init__(
        self,
        receiver_id: str,
        *,
        on_state: Callable[[ReceiverStatus], object],
        metrics: Metrics,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_state, self._metrics = on_state, metrics
        self._utc_ns, self._monotonic_s = utc_ns, monotonic_s
        self._guard = threading.Lock()
        self._status = ReceiverStatus(receiver_id, ReceiverState.STARTING, utc_ns())
        self._gave_at_s = monotonic_s()
        self._dropped_unsaid = 0
        self._dropped_said_at_s = -DROP_LINES_EVERY_S

    @property
    def status(self) -> ReceiverStatus:
        with self._guard:
            return self._status

    @property
    def has_ended(self) -> bool:
        return self.status.state in {ReceiverState.DISABLED, ReceiverState.FAILED}

    @property
    def quiet_s(self) -> float:
        """Since it last gave something, or was opened."""
        with self._guard:
            return self._monotonic_s() - self._gave_at_s

    # ── the reader's ──────────────────────────────────────────────────────────────────────

    def opened(self, device: str | None) -> None:
        """It is open: from now on samples are expected."""
        with self._guard:
            self._status = replace(self._status, device=device)
            self._gave_at_s = self._monotonic_s()

    def gave(self) -> None:
        """Something came from it."""
        with self._guard:
            self._gave_at_s = self._monotonic_s()
            is_running = self._status.state is ReceiverState.RUNNING
        if not is_running:
            self.enter(ReceiverState.RUNNING)

    def heard(self, observation: Observation) -> None:
        """A feed of levels gave this: all that is known of its clock, place and noise floor."""
        floor_dbfs = observation.noise_floor_dbfs
        floor = {} if floor_dbfs is None else {observation.channel: floor_dbfs}
        with self._guard:
            self._status = replace(
                self._status,
                clock=observation.clock,
                place=observation.receiver.place,
                noise_floor_dbfs={**self._status.noise_floor_dbfs, **floor},
            )

    def failed(self, state: ReceiverState, reason: str) -> None:
        """It could not be opened, or gave up; ``state`` says whether it is tried again.

        What fails again for the same reason is counted, and not said again: a dongle may be away
        for a year.
        """
        status = self.status
        self._metrics.receiver_failures.labels(status.receiver_id).inc()
        if (status.state, status.reason) == (state, reason):
            log.debug("receiver_failed_again", receiver=status.receiver_id, reason=reason)
        else:
            self.enter(state, reason)

    def dropped(self, n_samples: int) -> None:
        """Samples for which the worker had no room: said at once, then at most every 30 s."""
        self._dropped_unsaid += n_samples
        now_s = self._monotonic_s()
        if now_s - self._dropped_said_at_s >= DROP_LINES_EVERY_S:
            receiver_id = self.status.receiver_id
            log.warning("samples_dropped", receiver=receiver_id, samples=self._dropped_unsaid)
            self._dropped_unsaid, self._dropped_said_at_s = 0, now_s

    def enter(self, state: ReceiverState, reason: str | None = None) -> None:
        """Change the state, and say so; one that failed for good stays so."""
        with self._guard:
            if self._status.state is ReceiverState.FAILED:
                return
            self._status = replace(
                self._status, state=state, reason=reason, since_utc_ns=self._utc_ns()
            )
            status = self._status
        say = log.warning if state in TROUBLE else log.info
        say(
            "receiver_state", receiver=status.receiver_id, state=state, reason=reason or "",
            device=status.device or "",
        )  # fmt: skip
        self._publish(status)

    # ── the worker's ──────────────────────────────────────────────────────────────────────

    def account(self, block: IQBlock, count: SampleCount, floors: dict[str, float]) -> None:
        """Add what became of a block's samples."""
        with self._guard:
            status = self._status = replace(
                self._status,
                count=self._status.count + count,
                sample_rate_hz=block.sample_rate_hz,
                gain_db=block.gain_db,
                noise_floor_dbfs=floors,
                clock=block.clock,
                place=block.place or self._status.place,
                frequency_error=block.frequency_error,
            )
        self._metrics.count_samples(status.receiver_id, count, discarded=block.discarded_samples)
        for channel, floor_dbfs in floors.items():
            self._metrics.noise_floor.labels(status.receiver_id, channel).set(floor_dbfs)

    def gave_up(self, limit: Limit, *, load: float) -> None:
        """What the worker works on from now on; nothing is given up in silence."""
        with self._guard:
            is_more = len(limit.given_up) > len(self._status.given_up)
            self._status = replace(self._status, given_up=limit.given_up)
            status = self._status
        receiver_id = status.receiver_id
        say, event = (log.warning, "overloaded") if is_more else (log.info, "overload_eases")
        say(event, receiver=receiver_id, load=load, given_up=", ".join(limit.given_up))
        self._metrics.given_up.labels(receiver_id).set(len(limit.given_up))
        self._publish(status)

    # ── the main thread's ─────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Notice that a radio that runs gives nothing."""
        with self._guard:
            quiet_s = self._monotonic_s() - self._gave_at_s
            is_running = self._status.state is ReceiverState.RUNNING
        if is_running and quiet_s > SILENT_AFTER_S:
            self.enter(ReceiverState.SILENT, f"no samples for {quiet_s:.0f} s")

    def _publish(self, status: ReceiverStatus) -> None:
        self._metrics.receiver_is(status)
        self._on_state(status)
