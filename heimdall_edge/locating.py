"""The one thread that brings together what receivers heard, locates it, and hands it on.

::

    inbox ──▶ Associator ──Scene──▶ Locator ──Fix──▶ Publisher
      ▲ Observation, Listening, or the end        and each Observation as it came

What "now" is depends on the feeds. Radios follow the clock: now is the newest instant that any of
them spoke of, plus the time since. Files follow each other: now is where the slowest of them is, so
that a replay gives the same scenes at any speed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from heimdall_edge import journal
from heimdall_edge.fifo import Fifo
from heimdall_edge.locate.associate import Associator
from heimdall_edge.locate.locator import Locator
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.base import Publisher
from heimdall_edge.sources.utc_offset import UtcOffset
from heimdall_edge.types import NS_PER_S, Fix, Listening, Observation, Scene

log = journal.logger("locator")

INBOX_ITEMS = 4096
TURN_S = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """What a feed says; ``None``: it says nothing more."""

    feed_id: str
    said: Observation | Listening | None


@dataclass(frozen=True, slots=True)
class FeedTime:
    """How a feed's time runs: a radio's by the clock, a file's as it is read."""

    feed_id: str
    follows_clock: bool


class SceneTime:
    """What instant the scenes may be judged by."""

    def __init__(self, feeds: list[FeedTime], *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._radios = {feed.feed_id for feed in feeds if feed.follows_clock}
        self._files: dict[str, int | None] = {
            feed.feed_id: None for feed in feeds if not feed.follows_clock
        }
        self._newest_utc_ns: int | None = None
        self._newest_at_s = 0.0

    def heard_from(self, feed_id: str, utc_ns: int) -> None:
        """A feed has come as far as this."""
        if feed_id in self._files:
            self._files[feed_id] = max(self._files[feed_id] or 0, utc_ns)
        if self._newest_utc_ns is None or utc_ns > self._newest_utc_ns:
            self._newest_utc_ns, self._newest_at_s = utc_ns, self._monotonic()

    def ended(self, feed_id: str) -> None:
        """A file came to its end; the others do not wait for it."""
        self._files.pop(feed_id, None)

    def clock_was_set(self) -> None:
        """The radios' instants lie on another scale from now on."""
        self._newest_utc_ns = None

    def now_utc_ns(self) -> int | None:
        """``None`` while that cannot be said yet."""
        if self._newest_utc_ns is None:
            return None
        if self._radios:
            since_s = self._monotonic() - self._newest_at_s
            return self._newest_utc_ns + round(since_s * NS_PER_S)
        reached = [at for at in self._files.values() if at is not None]
        if len(reached) < len(self._files):
            return None
        return min(reached, default=self._newest_utc_ns)


class LocatorThread:
    """Owns the associator; its locator may be swapped between two scenes, from any thread."""

    def __init__(
        self,
        *,
        station: str,
        associator: Associator,
        locator: Locator,
        publisher: Publisher,
        metrics: Metrics,
        feeds: list[FeedTime],
        monotonic: Callable[[], float] = time.monotonic,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.inbox: Fifo[Word] = Fifo(max_items=INBOX_ITEMS)
        self._station = station
        self._associator = associator
        self._locator = locator
        self._publisher = publisher
        self._metrics = metrics
        self._monotonic = monotonic
        self._time = SceneTime(feeds, monotonic=monotonic)
        has_radios = any(feed.follows_clock for feed in feeds)
        self._offset = (
            UtcOffset(utc_ns=utc_ns, monotonic_ns=lambda: round(monotonic() * NS_PER_S))
            if has_radios
            else None
        )
        self.progress_monotonic_s = monotonic()
        self.thread = threading.Thread(target=self._run, name="locate")

    def swap(self, locator: Locator) -> None:
        """Go on with another locator from the next scene; the current one is finished first."""
        self._locator = locator

    def _run(self) -> None:
        while not self.inbox.is_drained:
            word = self.inbox.get(timeout_s=TURN_S)
            self._watch_the_clock()
            if word is not None:
                self._take(word)
            now_utc_ns = self._time.now_utc_ns()
            if now_utc_ns is not None:
                self._locate_all(self._associator.ready(now_utc_ns))
            self._metrics.open_scenes.set(self._associator.open_scenes)
            self.progress_monotonic_s = self._monotonic()
        self._locate_all(self._associator.flush())

    def _watch_the_clock(self) -> None:
        """Where the host's clock was stepped, end what is open: its rest has other instants."""
        if self._offset is None:
            return
        n_steps = self._offset.n_steps
        self._offset.read_ns()
        if self._offset.n_steps != n_steps:
            step_s = self._offset.last_step_ns / NS_PER_S
            log.warning("clock_stepped", step_s=step_s)
            self._metrics.clock_steps.inc()
            self._time.clock_was_set()
            self._locate_all(self._associator.clock_was_set())

    def _take(self, word: Word) -> None:
        said = word.said
        if said is None:
            self._time.ended(word.feed_id)
            self._associator.ended((self._station, word.feed_id))
        elif isinstance(said, Listening):
            self._time.heard_from(word.feed_id, said.end_utc_ns)
            self._associator.listened(said)
        else:
            self._time.heard_from(word.feed_id, said.start_utc_ns)
            self._associator.add(said)
            self._publisher.publish_observation(said)

    def _locate_all(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            fix = self._locator.locate(scene)
            self._publisher.publish_fix(fix)
            self._count(fix)
        if scenes:
            self._metrics.follow(self._metrics.observations_refused, self._associator.counts)

    def _count(self, fix: Fix) -> None:
        scene, position = fix.scene, fix.position
        outcome = fix.reason or fix.method or "none"
        self._metrics.scenes.labels(scene.channel).inc()
        self._metrics.fixes.labels(scene.channel, outcome).inc()
        self._metrics.inference.observe(fix.inference_time_s)
        detected = [o.detected_monotonic_s for o in scene.heard if o.detected_monotonic_s]
        if detected:
            self._metrics.window_to_fix.observe(self._monotonic() - max(detected))
        log.info(
            "fix" if position else "refused",
            channel=scene.channel,
            fix_id=fix.fix_id,
            heard=len(scene.heard),
            listening=len(scene.observations) - len(scene.heard),
            **(
                {
                    "latitude": round(position.latitude_deg, 5),
                    "longitude": round(position.longitude_deg, 5),
                    "radius_m": round(position.circle.radius_m, 1),
                    "method": fix.method,
                }
                if position
                else {"reason": fix.reason}
            ),
        )
