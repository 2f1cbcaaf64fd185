"""From observations that may be of one transmission to scenes: who heard it, who did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from heimdall_edge.geodesy import EQUATORIAL_RADIUS_M, is_absurd
from heimdall_edge.locate.matching import Group, Matcher
from heimdall_edge.types import NS_PER_S, Observation, Scene

SilentDuring = Callable[[Scene], list[Observation]]
"""Who listened all through a scene, and heard nothing."""


def scenes_of(
    observations: Sequence[Observation],
    *,
    matcher: Matcher,
    silent_during: SilentDuring,
    max_span_m: float,
) -> list[Scene]:
    """Part observations of one channel, and one scene id if any, into scenes.

    Those that share a scene id are one scene by the word of who wrote them, and complete by it:
    who was silent is then not asked of anybody else.
    """
    if observations[0].scene_id is not None:
        return [_sited(_spanning(_one_a_receiver(observations)), max_span_m)]
    scenes = []
    for group in matcher.groups(observations):
        scene = _spanning(group)
        everybody = (*scene.observations, *silent_during(scene))
        scenes.append(_sited(replace(scene, observations=everybody), max_span_m))
    return scenes


def _one_a_receiver(observations: Sequence[Observation]) -> Group:
    """Of each receiver the observation that heard it, or else the longest one."""
    best: dict[tuple[str, str], Observation] = {}
    for o in sorted(
        observations, key=lambda o: (not o.heard, -o.duration_s, o.start_utc_ns, o.observation_id)
    ):
        best.setdefault(o.receiver.key, o)
    return Group(list(best.values()), n_pieces=len(observations) - len(best))


def _spanning(group: Group) -> Scene:
    """A scene that lasts as long as anybody heard it."""
    heard = [o for o in group.observations if o.heard] or group.observations
    first = min(heard, key=lambda o: o.receiver.key)
    start = min(o.start_utc_ns for o in heard)
    return Scene(
        channel=first.channel,
        frequency_hz=first.frequency_hz,
        start_utc_ns=start,
        duration_s=(max(o.end_utc_ns for o in heard) - start) / NS_PER_S,
        observations=tuple(group.observations),
        scene_id=first.scene_id,
        left_out={"second_burst": group.n_pieces} if group.n_pieces else {},
    )


def _sited(scene: Scene, max_span_m: float) -> Scene:
    """A scene in receiver order, those left out and counted whose place cannot be right."""
    left_out = Counter(scene.left_out)
    kept = []
    reasons = _misplaced(scene.observations, max_span_m)
    for observation, reason in zip(scene.observations, reasons, strict=True):
        if reason is None:
            kept.append(observation)
        else:
            left_out[reason] += 1
    kept.sort(key=lambda o: o.receiver.key)
    return replace(scene, observations=tuple(kept), left_out=dict(left_out))


def _misplaced(observations: Sequence[Observation], max_span_m: float) -> list[str | None]:
    """For each observation why its receiver's place cannot be right; ``None`` where it can."""
    places = [o.receiver.place for o in observations]
    reasons: list[str | None] = ["absurd_place" if is_absurd(p) else None for p in places]
    sane = [i for i, reason in enumerate(reasons) if reason is None]
    if len(sane) < 3:  # of two that are far apart nobody knows which is wrong
        return reasons
    latitude = np.radians([places[i].latitude_deg for i in sane])
    longitude = np.radians([places[i].longitude_deg for i in sane])
    across = np.cos(latitude)
    up = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)])
    # Straight through the Earth: a median of vectors needs no map, and this bound no more digits.
    away_m = EQUATORIAL_RADIUS_M * np.linalg.norm(up - np.median(up, axis=1)[:, None], axis=0)
    for i, distance_m in zip(sane, away_m, strict=True):
        if distance_m > max_span_m:
            reasons[i] = "far_place"
    return reasons
