"""The converter of the POWDER samples into the published format."""

from __future__ import annotations

import json

import pytest
from powder import (
    block_of,
    is_fit_block,
    observation_lines,
    read_samples,
    tracked_floors_dbfs,
    truth_line,
    write_campaigns,
)

from heimdall_edge.publish.wire_observation import parse_observation

LINE = {
    "time": "2022-07-05 10:51:43",
    "tx": [[40.77, -111.84]],
    "rx": [["loud", 40.76, -111.85, -50.0], ["faint", 40.77, -111.83, -97.0]],
}
FLOORS = {"loud": -95.0, "faint": -98.0}


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "campaign.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return read_samples(path)[0]


def test_a_reading_over_its_floor_is_heard_and_the_others_have_a_limit(sample):
    loud, faint = observation_lines([sample], FLOORS, open_db=8.0)
    assert loud["heard"]
    assert (loud["level_dbfs"], loud["noise_floor_dbfs"]) == (-50.0, -95.0)
    assert loud["snr_db"] == pytest.approx(45.0, abs=0.01)
    assert not faint["heard"]
    assert faint["noise_floor_dbfs"] == -90.0
    assert "level_dbfs" not in faint


def test_the_lines_are_the_published_format_and_share_their_scene(sample):
    parsed = [parse_observation(json.dumps(line)) for line in observation_lines([sample], FLOORS)]
    assert {o.scene_id for o in parsed} == {"campaign-00000"}
    assert parsed[0].receiver.place.latitude_deg == 40.76
    assert parsed[0].gain_db == 35.0


def test_local_time_becomes_utc_by_the_season(sample, tmp_path):
    line = next(observation_lines([sample], FLOORS))
    assert line["started_at"] == "2022-07-05T16:51:43.000000Z"
    winter = tmp_path / "winter.jsonl"
    winter.write_text(json.dumps(LINE | {"time": "2022-11-23 13:24:40"}))
    line = next(observation_lines(read_samples(winter), FLOORS))
    assert line["started_at"] == "2022-11-23T20:24:40.000000Z"


def test_the_floor_is_a_low_percentile_of_the_campaign(sample):
    assert tracked_floors_dbfs([sample]) == {"loud": -50.0, "faint": -97.0}


def test_blocks_are_250_m_and_about_half_of_them_may_be_fitted():
    assert block_of((40.766, -111.842)) == (0, 0)
    assert block_of((40.766 + 0.26 / 111.05, -111.842 - 1e-6)) == (-1, 1)
    grid = [(40.75 + i * 0.00226, -111.86 + j * 0.003) for i in range(20) for j in range(20)]
    assert 0.4 < sum(map(is_fit_block, grid)) / len(grid) < 0.6


def test_truth_stays_out_of_the_observations(sample):
    assert truth_line(sample, "July")["transmitters"] == [{"latitude": 40.77, "longitude": -111.84}]
    assert not any(
        "tx" in line or "transmitters" in line for line in observation_lines([sample], FLOORS)
    )


@pytest.mark.real_data
def test_the_receiver_that_is_held_by_an_interferer_does_not_hear_everything(data_dir, tmp_path):
    observations, truth = write_campaigns(data_dir, tmp_path)
    held = {True: 0, False: 0}
    with observations.open() as lines:
        for text in lines:
            line = json.loads(text)
            if "november" in line["scene_id"] and line["receiver"]["id"] == "cellsdr1-smt-comp":
                held[line["heard"]] += 1
    assert held[True] < 0.3 * held[False]
    assert len(truth.read_text().splitlines()) == 3058 + 351 + 173 + 23
