"""What is printed."""

from __future__ import annotations

import json
from dataclasses import replace

from heimdall_edge.survey.report import as_json, in_words, problems_of
from heimdall_edge.survey.run import Surveyed
from heimdall_edge.types import FrequencyError, Place, ReceiverInfo, SampleCount

from .receivers import RECEIVER, blocks, metered, receiver_of, samples

MADE = blocks(samples(4.0, (1.0, 2.0, -50e3, -25.0)), frequency_error=FrequencyError(1.5, 0.25))
MEASURED = metered(MADE, gain_db=20.0)


def surveyed(*measured, receiver=None, info=RECEIVER, problem=None):
    return Surveyed(receiver or receiver_of(), info, "R820T, serial 1", measured, problem)


def test_the_table_has_a_line_a_receiver_and_a_line_a_channel():
    lines = in_words([surveyed(MEASURED)]).splitlines()
    assert lines[0].split()[:3] == ["receiver", "centre", "MHz"]
    assert lines[2].startswith("rx1")
    assert "446.0500" in lines[2]
    assert lines[2].endswith("+1.50 ± 0.25")
    pmr1 = next(line for line in lines if " pmr1 " in line)
    assert " 25." in pmr1
    assert "  rx1: leave it as it is: noise 10 dB over the converter's steps" in lines


def test_a_gain_that_should_change_is_said_as_a_key_to_set():
    clipped = replace(MEASURED, count=SampleCount(received=1_000_000, clipped=500))
    text = in_words([surveyed(clipped)])
    assert "rx1: set gain_db = 14.0 (-6 dB): 0.05% clipped; expected under 0.01%" in text
    unknown = replace(clipped, gain_db=None)
    assert "rx1: -6 dB would be better: 0.05% clipped" in in_words([surveyed(unknown)])


def test_a_receiver_without_samples_has_its_problem_told():
    text = in_words([surveyed(problem="rx1: no dongle found")])
    assert text.splitlines()[-1] == "  rx1: rx1: no dongle found"


def test_two_receivers_in_one_place_are_told_but_not_those_without_a_place():
    nowhere = ReceiverInfo("alps", "rx1", Place(float("nan"), float("nan")))
    one = surveyed(MEASURED)
    assert list(problems_of([one, one])) == [
        "rx1 and rx1 stand 0 m apart: together they say little more"
    ]
    unknown = surveyed(MEASURED, info=nowhere)
    assert list(problems_of([unknown, unknown])) == []


def test_json_says_the_same_in_numbers():
    said = json.loads(json.dumps(as_json([surveyed(MEASURED), surveyed(problem="gone")])))
    first, second = said["receivers"]
    assert first["device"] == "R820T, serial 1"
    (center,) = first["centers"]
    assert center["gain"] == {
        "change_db": 0.0,
        "reason": "noise 10 dB over the converter's steps",
        "suggested_db": None,
    }
    assert center["frequency_error"] == {"ppm": 1.5, "sigma_ppm": 0.25}
    assert center["samples"]["received"] == 1_000_000
    assert center["channels"][0]["channel"] == "pmr1"
    assert center["channels"][0]["bursts"] == 1
    assert second["problem"] == "gone"
    assert "rx1: gone" in said["warnings"]
