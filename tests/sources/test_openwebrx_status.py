from __future__ import annotations

import json

import pytest

from heimdall_edge.sources.openwebrx_status import Profile, named, read_status
from heimdall_edge.types import ChannelSpec, Place

PAGE = {
    "receiver": {"name": "Hill", "gps": {"lat": 45.0, "lon": 7.0}, "asl": 300},
    "max_clients": 20,
    "version": "v1.2.3",
    "sdrs": [
        {
            "name": "rtl",
            "type": "RtlSdrSource",
            "profiles": [
                {"name": "2m", "center_freq": 145_000_000, "sample_rate": 2_400_000},
                {"name": "odd", "center_freq": "?", "sample_rate": 2_400_000},
            ],
        },
        "odd",
        {"name": "no profiles"},
    ],
}


def test_a_status_page_tells_who_where_and_which_bands():
    status = read_status(json.dumps(PAGE))
    assert (status.name, status.version, status.max_clients) == ("Hill", "v1.2.3", 20)
    assert status.place == Place(45.0, 7.0, 300.0)
    assert status.profiles == (Profile("rtl/2m", 145e6, 2.4e6),)


def test_a_page_that_says_little_is_read_too():
    status = read_status("{}")
    assert (status.name, status.max_clients, status.place, status.profiles) == ("", None, None, ())


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"receiver": 5}'])
def test_another_page_is_refused(text):
    with pytest.raises(ValueError, match=r"expected a JSON object|no JSON"):
        read_status(text)


def test_a_profile_holds_a_channel_that_lies_wholly_within():
    status = read_status(json.dumps(PAGE))
    inside, edge = ChannelSpec("a", 145.5e6, 12.5e3), ChannelSpec("b", 146.2e6, 12.5e3)
    assert status.fitting([inside, edge]) == status.profiles
    assert status.fitting([edge]) == ()


def test_profiles_are_named_but_not_without_end():
    profiles = [Profile(f"p{i}", 145e6, 2.4e6) for i in range(15)]
    assert named(profiles[:1]) == "p0 145.0000 MHz ± 1.2000"
    assert named(profiles).endswith("p11 145.0000 MHz ± 1.2000, 3 more")
    assert named([]) == "none"
