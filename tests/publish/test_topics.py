"""The topic tree of the contract."""

from __future__ import annotations

import pytest

from heimdall_edge.errors import ConfigError
from heimdall_edge.publish.topics import Topics


def test_topics_are_those_of_the_contract() -> None:
    topics = Topics(station="monte-1")
    base = "heimdall/v1/monte-1"
    assert topics.availability == f"{base}/availability"
    assert topics.info == f"{base}/info"
    assert topics.observation == f"{base}/observation"
    assert topics.fix == f"{base}/fix"
    assert topics.stats == f"{base}/stats"
    assert topics.receiver_state("rx1") == f"{base}/receivers/rx1/state"
    assert topics.fix_last("r1") == f"{base}/fix/last/r1"
    assert Topics(station="s", root="hub").fix == "hub/s/fix"


@pytest.mark.parametrize("part", ["", "+", "#", "a/b", "a b", "é", "x" * 65, "rx\n", "a\x00"])
def test_a_part_that_could_mean_more_than_itself_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a topic"):
        Topics(station=part)
    with pytest.raises(ConfigError):
        Topics(station="s").receiver_state(part)
    with pytest.raises(ConfigError):
        Topics(station="s").fix_last(part)
