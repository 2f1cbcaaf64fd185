"""Observations of several receivers → scenes: one transmission each.

::

    add(Observation) ──▶ open cluster (channel; scene_id, or time) ──ready()──▶ Scene, Scene, …
    listened(Listening) ─▶ who has decided how far, who was silent ──┘

A cluster is what may be of one transmission. It closes when no more can come:

* every receiver that listens to the channel has decided past its end, and every feed of finished
  observations that lately spoke there is in it or has gone on; or
* it has waited ``wait_s`` since its end, and since it was known. Lines that share a scene id, and
  feeds that nobody but themselves tells the progress of, close in no other way.

Closed, it is parted into scenes, at most one observation of each receiver in any, in a way that
does not depend on the order in which the observations came. Pure: it reads no clock. Bounded: too
many open clusters close the oldest early, as too many observations close theirs; both are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

from heimdall_edge.locate.listening import EDGE_NS, NOT_YET, Listener
from heimdall_edge.locate.matching import Matcher
from heimdall_edge.locate.scenes import scenes_of
from heimdall_edge.types import NS_PER_S, Listening, Observation, Scene

FEED_MEMORY_NS = 60 * NS_PER_S
"""A feed that has been quiet on a channel for longer than this is not waited for."""
MAX_REMEMBERED_IDS = 16_384
MAX_REMEMBERED_CLUSTERS = 256
MAX_CHANNELS = 1024
MAX_LISTENERS = 1024
MAX_SILENT_LINES = 1024

ReceiverKey = tuple[str, str]
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Cluster:
    """Observations that may be of one transmission, while more may come."""

    channel: str
    scene_id: str | None
    members: list[Observation]
    start_utc_ns: int
    end_utc_ns: int
    known_utc_ns: int | None = None
    """The time when ``ready`` first met it."""

    def take_in(self, other: _Cluster) -> None:
        self.members += other.members
        self.start_utc_ns = min(self.start_utc_ns, other.start_utc_ns)
        self.end_utc_ns = max(self.end_utc_ns, other.end_utc_ns)
        if other.known_utc_ns is not None:
            self.known_utc_ns = _earlier(self.known_utc_ns, other.known_utc_ns)

    def forget_payloads(self) -> None:
        """Keep what tells a late observation: times, not samples."""
        self.members = [replace(o, mel=None, snippet=None) for o in self.members]


@dataclass(slots=True, eq=False)
class _Channel:
    """Who is known on a channel, and what is remembered of it."""

    listeners: OrderedDict[ReceiverKey, Listener] = field(default_factory=OrderedDict)
    silent_lines: deque[Observation] = field(default_factory=lambda: deque(maxlen=MAX_SILENT_LINES))
    closed: deque[_Cluster] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED_CLUSTERS))
    closed_until_utc_ns: int = NOT_YET
    """The latest end of any that ever closed."""

    def forget_times(self) -> None:
        self.silent_lines.clear()
        self.closed.clear()
        self.closed_until_utc_ns = NOT_YET
        for listener in self.listeners.values():
            listener.forget_times()

    def remember(self, closed: _Cluster) -> None:
        closed.forget_payloads()
        self.closed.append(closed)
        self.closed_until_utc_ns = max(self.closed_until_utc_ns, closed.end_utc_ns)


class Associator:
    """Brings together what several receivers say of one transmission.

    Parameters
    ----------
    wait_s
        How long a scene waits for receivers that are late.
    tolerance_s
        Observations that start within this of each other may be of one transmission.
    min_overlap
        So may those that overlap by this share of the shorter one, 0…1.
    min_listened
        Share of a scene for which a silent receiver must have listened to count as silent, 0…1;
        of one shorter than a second, all.
    max_span_m
        A receiver farther than this from the median place of its scene is left out.
    max_open
        Clusters that may be open at once.
    max_observations
        Observations in one cluster.
    """

    def __init__(
        self,
        *,
        wait_s: float = 2.0,
        tolerance_s: float = 0.25,
        min_overlap: float = 0.5,
        min_listened: float = 0.9,
        max_span_m: float = 3_000_000.0,
        max_open: int = 1024,
        max_observations: int = 128,
    ) -> None:
        self._wait_ns = round(wait_s * NS_PER_S)
        self._matcher = Matcher(tolerance_s=tolerance_s, min_overlap=min_overlap)
        self._min_listened, self._max_span_m = min_listened, max_span_m
        self._max_open, self._max_observations = max_open, max_observations
        self._open: list[_Cluster] = []
        self._full: list[_Cluster] = []
        self._closed_ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._channels: OrderedDict[str, _Channel] = OrderedDict()
        self._seen_ids: OrderedDict[tuple[ReceiverKey, str], None] = OrderedDict()
        self._reached_utc_ns: dict[ReceiverKey, int] = {}
        self._counts: Counter[str] = Counter()

    @property
    def open_scenes(self) -> int:
        """Transmissions that still wait for receivers."""
        return len(self._open) + len(self._full)

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of observations that are in no scene, and of clusters that closed early.

        ``duplicate``, ``late``, ``second_burst``, ``absurd_place``, ``far_place``: observations;
        ``evicted``, ``overfull``: clusters.
        """
        return dict(self._counts)

    # ── what comes in ─────────────────────────────────────────────────────────────────────

    def expect(self, receiver_key: ReceiverKey, channels: Iterable[str]) -> None:
        """Wait for a receiver also before it first says that it listens (a file; not a radio)."""
        for channel in channels:
            self._listener(receiver_key, channel).tells_progress = True

    def ended(self, receiver_key: ReceiverKey) -> None:
        """Wait for a receiver no longer: its data are over, or it failed."""
        for channel in self._channels.values():
            if receiver_key in channel.listeners:
                channel.listeners[receiver_key].has_ended = True

    def listened(self, listening: Listening) -> None:
        """Take in how far a receiver has decided, after what it heard until then was added."""
        reached = self._reached_utc_ns.get(listening.receiver.key, NOT_YET)
        self._reached_utc_ns[listening.receiver.key] = max(reached, listening.end_utc_ns)
        for channel in listening.limit_dbfs:
            self._listener(listening.receiver.key, channel).listened(listening)

    def add(self, observation: Observation) -> None:
        """Take in what one receiver heard, or that it heard nothing."""
        if self._is_duplicate(observation):
            return
        self._listener(observation.receiver.key, observation.channel).spoke(observation)
        if observation.scene_id is None and not observation.heard:
            self._channel(observation.channel).silent_lines.append(observation)
        elif self._is_late(observation):
            self._counts["late"] += 1
        else:
            self._join(observation)

    def _is_duplicate(self, observation: Observation) -> bool:
        key = (observation.receiver.key, observation.observation_id)
        if key in self._seen_ids:
            self._counts["duplicate"] += 1
            return True
        _latest(self._seen_ids, key, lambda: None, MAX_REMEMBERED_IDS)
        return False

    def _channel(self, name: str) -> _Channel:
        return _latest(self._channels, name, _Channel, MAX_CHANNELS)

    def _listener(self, key: ReceiverKey, channel: str) -> Listener:
        listeners = self._channel(channel).listeners
        return _latest(listeners, key, lambda: Listener(channel), MAX_LISTENERS)

    def _is_late(self, observation: Observation) -> bool:
        """Whether it belongs to what has closed. What began after that ended is news."""
        if observation.scene_id is not None:
            return (observation.channel, observation.scene_id) in self._closed_ids
        channel = self._channel(observation.channel)
        return observation.start_utc_ns < channel.closed_until_utc_ns and any(
            observation.start_utc_ns < cluster.end_utc_ns and self._belongs(observation, cluster)
            for cluster in channel.closed
        )

    def _join(self, observation: Observation) -> None:
        """Put it into the clusters that it matches, which thereby become one, or into its own."""
        home = _Cluster(
            channel=observation.channel,
            scene_id=observation.scene_id,
            members=[observation],
            start_utc_ns=observation.start_utc_ns,
            end_utc_ns=observation.end_utc_ns,
        )
        for cluster in [c for c in self._open if self._belongs(observation, c)]:
            self._open.remove(cluster)
            home.take_in(cluster)
        self._open.append(home)
        if len(home.members) >= self._max_observations:
            self._close_early(home, "overfull")
        elif len(self._open) > self._max_open:
            self._close_early(min(self._open, key=lambda c: c.start_utc_ns), "evicted")

    def _belongs(self, observation: Observation, cluster: _Cluster) -> bool:
        if (observation.channel, observation.scene_id) != (cluster.channel, cluster.scene_id):
            return False
        return observation.scene_id is not None or any(
            self._matcher.matches(observation, member) for member in cluster.members
        )

    def _close_early(self, cluster: _Cluster, why: str) -> None:
        self._counts[why] += 1
        self._open.remove(cluster)
        self._full.append(cluster)

    # ── what goes out ─────────────────────────────────────────────────────────────────────

    def ready(self, now_utc_ns: int) -> list[Scene]:
        """Give the scenes that are complete, or have waited long enough, by start and channel.

        Parameters
        ----------
        now_utc_ns
            How far the feeds have come: the clock's time for radios; for files, whose time is
            their own, where the slowest of them is.
        """
        due = []
        for cluster in self._open:
            known_utc_ns = cluster.known_utc_ns = _earlier(cluster.known_utc_ns, now_utc_ns)
            waits_until = max(known_utc_ns, cluster.end_utc_ns) + self._wait_ns
            if now_utc_ns >= waits_until or self._is_complete(cluster, now_utc_ns):
                due.append(cluster)
        return self._close(due)

    def flush(self) -> list[Scene]:
        """Give all that is open: nothing more will come."""
        return self._close(list(self._open))

    def clock_was_set(self) -> list[Scene]:
        """Give all that is open, and forget all instants: those to come lie on another scale."""
        scenes = self.flush()
        self._reached_utc_ns.clear()
        for channel in self._channels.values():
            channel.forget_times()
        return scenes

    def _is_complete(self, cluster: _Cluster, now_utc_ns: int) -> bool:
        """Whether nobody who is known on the channel can add to it."""
        listeners = self._channel(cluster.channel).listeners
        if cluster.scene_id is not None or not any(x.tells_progress for x in listeners.values()):
            return False
        in_it = {o.receiver.key for o in cluster.members}
        return not any(
            self._may_have_heard(key, listener, cluster, now_utc_ns)
            if listener.tells_progress
            else key not in in_it and _may_be_late(listener, cluster)
            for key, listener in listeners.items()
        )

    def _may_have_heard(
        self, key: ReceiverKey, listener: Listener, cluster: _Cluster, now_utc_ns: int
    ) -> bool:
        """Whether a receiver has not decided yet, though it shows signs of life."""
        if listener.has_ended or listener.decided_utc_ns >= cluster.end_utc_ns - EDGE_NS:
            return False
        reached_utc_ns = self._reached_utc_ns.get(key)
        return reached_utc_ns is None or reached_utc_ns + self._wait_ns >= now_utc_ns

    def _close(self, due: list[_Cluster]) -> list[Scene]:
        for cluster in due:
            self._open.remove(cluster)
        closing, self._full = [*due, *self._full], []
        scenes = []
        for cluster in closing:
            scenes += scenes_of(
                cluster.members,
                matcher=self._matcher,
                silent_during=self._silent_during,
                max_span_m=self._max_span_m,
            )
            self._remember_closed(cluster)
        for scene in scenes:
            self._counts.update(scene.left_out)
        return sorted(scenes, key=lambda s: (s.start_utc_ns, s.channel, s.scene_id or ""))

    def _remember_closed(self, cluster: _Cluster) -> None:
        if cluster.scene_id is not None:
            scene = (cluster.channel, cluster.scene_id)
            _latest(self._closed_ids, scene, lambda: None, MAX_REMEMBERED_IDS)
            return
        self._channel(cluster.channel).remember(cluster)

    def _silent_during(self, scene: Scene) -> list[Observation]:
        """Who listened all through a scene and heard nothing; whose line says so comes first."""
        taken = {o.receiver.key for o in scene.observations}
        channel, silent = self._channel(scene.channel), list[Observation]()
        for line in channel.silent_lines:
            if line.receiver.key not in taken and self._covers(line, scene):
                taken.add(line.receiver.key)
                silent.append(line)
        for key, listener in channel.listeners.items():
            if key not in taken:
                silence = listener.silence(scene, min_share=self._min_listened)
                silent += [silence] if silence else []
        return silent

    def _covers(self, line: Observation, scene: Scene) -> bool:
        start, end = scene.start_utc_ns, scene.end_utc_ns
        shared_ns = min(line.end_utc_ns, end) - max(line.start_utc_ns, start)
        return shared_ns >= 0 and shared_ns >= self._min_listened * (end - start)


def fix_id(scene: Scene, station: str) -> str:
    """The name of a scene's fix: from who heard what, so that a replay gives the same one.

    Neither the order of the receivers nor those that heard nothing change it.
    """
    said = [f"{o.receiver.key} {o.observation_id}" for o in scene.heard]
    if not said:  # nobody heard it, or nobody who counts: the instant tells such scenes apart
        said = [f"{scene.scene_id} {scene.start_utc_ns // 1000}"]
    return sha256("\n".join([station, scene.channel, *sorted(said)]).encode()).hexdigest()[:20]


def _earlier(a: int | None, b: int) -> int:
    return b if a is None else min(a, b)


def _may_be_late(feed: Listener, cluster: _Cluster) -> bool:
    """Whether a feed of observations has lately spoken, and not of anything later yet."""
    return 0 <= cluster.end_utc_ns - feed.spoke_utc_ns <= FEED_MEMORY_NS


def _latest(
    known: OrderedDict[Key, Value], key: Key, make: Callable[[], Value], max_items: int
) -> Value:
    """The value of a key, made if it is new; who was not asked for longest goes, if too many."""
    if key not in known:
        known[key] = make()
    known.move_to_end(key)
    if len(known) > max_items:
        known.popitem(last=False)
    return known[key]
