"""Which observations are of one transmission, by their times alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from heimdall_edge.types import NS_PER_S, Observation

NEIGHBOURS_WITHIN = 0.01
"""Windows whose edges meet within this share of their length follow each other."""


def overlap_ns(a: Observation, b: Observation) -> int:
    """For how long both last."""
    return max(0, min(a.end_utc_ns, b.end_utc_ns) - max(a.start_utc_ns, b.start_utc_ns))


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Observations of one transmission, at most one of each receiver."""

    observations: list[Observation]
    n_pieces: int = 0
    """Further bursts of its receivers that are but pieces of the same transmission."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """Says whether two observations may be of one transmission, and which of many are."""

    tolerance_s: float
    """Two that start within this of each other match: clocks and detected edges differ."""
    min_overlap: float
    """Two that overlap by this share of the shorter one match."""

    def matches(self, a: Observation, b: Observation) -> bool:
        """Whether two receivers' observations may be of one transmission.

        One receiver's observations never are, nor are neighbouring windows of a grid, be it
        finer than the tolerance.
        """
        if a.receiver.key == b.receiver.key:
            return False
        shorter_ns = min(a.end_utc_ns - a.start_utc_ns, b.end_utc_ns - b.start_utc_ns)
        shared_ns = overlap_ns(a, b)
        if shared_ns > 0 and shared_ns >= self.min_overlap * shorter_ns:
            return True
        apart_ns = min(abs(a.end_utc_ns - b.start_utc_ns), abs(b.end_utc_ns - a.start_utc_ns))
        if apart_ns < NEIGHBOURS_WITHIN * shorter_ns:
            return False
        return abs(a.start_utc_ns - b.start_utc_ns) <= self.tolerance_s * NS_PER_S

    def groups(self, observations: Sequence[Observation]) -> list[Group]:
        """Part observations into transmissions; the order they come in does not matter.

        The best matching pair is joined first: where one receiver heard several bursts within
        another's long one, the long one goes to the burst that it shares most time with. The
        others stand alone, or are pieces of that transmission if nobody else heard them so.
        """
        apart = self._joined(sorted(observations, key=_order))
        whole = [Group(members) for members in apart if len(members) > 1]
        for (alone,) in (members for members in apart if len(members) == 1):
            home = next((i for i, group in enumerate(whole) if self._is_piece(alone, group)), None)
            if home is None:
                whole.append(Group([alone]))
            else:
                whole[home] = replace(whole[home], n_pieces=whole[home].n_pieces + 1)
        return whole

    def _joined(self, members: list[Observation]) -> list[list[Observation]]:
        """Clusters by single linkage, closest pair first, no receiver twice in any."""
        clusters = {i: [member] for i, member in enumerate(members)}
        home = list(range(len(members)))
        pairs = sorted(
            (_distance(members[i], members[j]), i, j)
            for i, j in combinations(range(len(members)), 2)
            if self.matches(members[i], members[j])
        )
        for _, i, j in pairs:
            one, other = home[i], home[j]
            if one != other and not _keys(clusters[one]) & _keys(clusters[other]):
                clusters[one] += clusters.pop(other)
                home = [one if at == other else at for at in home]
        return list(clusters.values())

    def _is_piece(self, alone: Observation, group: Group) -> bool:
        """Whether it is more of what its receiver is in the group for already."""
        return alone.receiver.key in _keys(group.observations) and any(
            self.matches(alone, other) for other in group.observations
        )


def _order(observation: Observation) -> tuple[int, tuple[str, str], str]:
    return (observation.start_utc_ns, observation.receiver.key, observation.observation_id)


def _distance(a: Observation, b: Observation) -> tuple[float, int]:
    """Less for a better match: unshared time over the time of either, then starts apart."""
    either_ns = max(a.end_utc_ns, b.end_utc_ns) - min(a.start_utc_ns, b.start_utc_ns)
    unshared = 1 - overlap_ns(a, b) / either_ns if either_ns else 0.0
    return (unshared, abs(a.start_utc_ns - b.start_utc_ns))


def _keys(group: Sequence[Observation]) -> set[tuple[str, str]]:
    return {o.receiver.key for o in group}
