"""The truth file."""

import json
from itertools import pairwise

import pytest

from heimdall_edge.config_simulation import Simulation, TrackPoint, Transmitter
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.truth import TruthLog, transmissions

START_UTC_NS = 1_800_000_000_000_000_000

FIXED = Transmitter(
    name="fixed",
    latitude_deg=45.0,
    longitude_deg=7.6,
    frequency_hz=446.05e6,
    power_dbm=27.0,
    first_on_s=1.0,
    on_s=2.0,
    off_s=3.0,
)
MOVING = Transmitter(
    name="moving",
    track=(
        TrackPoint(at_s=0.0, latitude_deg=45.0, longitude_deg=7.0),
        TrackPoint(at_s=100.0, latitude_deg=46.0, longitude_deg=8.0),
    ),
    frequency_hz=446.1e6,
    modulation="cw",
    first_on_s=4.0,
    on_s=2.0,
    off_s=8.0,
)


def simulation(*senders, **settings):
    return Simulation(transmitters=senders, **settings)


def all_of(network, until_s, from_s=0.0):
    return transmissions(network, start_utc_ns=START_UTC_NS, from_s=from_s, until_s=until_s)


def test_every_transmission_is_listed_in_time_order_with_place_and_power():
    found = all_of(simulation(FIXED, MOVING), until_s=15.0)
    assert [(t.transmitter, t.number) for t in found] == [
        ("fixed", 0),
        ("moving", 0),
        ("fixed", 1),
        ("fixed", 2),
        ("moving", 1),
    ]
    first, moving = found[0], found[1]
    assert (first.start_utc_ns, first.end_utc_ns) == (
        START_UTC_NS + 1_000_000_000,
        START_UTC_NS + 3_000_000_000,
    )
    assert (first.frequency_hz, first.power_dbm, first.modulation) == (446.05e6, 27.0, "nfm")
    assert (moving.latitude_deg, moving.longitude_deg) == pytest.approx((45.04, 7.04))
    assert (moving.mid_latitude_deg, moving.mid_longitude_deg) == pytest.approx((45.05, 7.05))


def test_each_beginning_falls_into_one_span():
    network = simulation(FIXED, MOVING)
    spans = [all_of(network, from_s=a, until_s=b) for a, b in pairwise([0.0, 1.0, 4.0, 6.5, 30.0])]
    assert [t for span in spans for t in span] == all_of(network, until_s=30.0)


def test_the_simulations_end_cuts_the_last_transmission():
    found = all_of(simulation(FIXED, duration_s=7.0), until_s=100.0)
    assert [t.end_utc_ns - START_UTC_NS for t in found] == [3_000_000_000, 7_000_000_000]


def test_a_transmission_without_end_has_none():
    endless = FIXED.model_copy(update={"off_s": 0.0})
    (only,) = all_of(simulation(endless), until_s=100.0)
    assert only.end_utc_ns is None
    assert (only.mid_latitude_deg, only.mid_longitude_deg) == (45.0, pytest.approx(7.6))


def test_a_line_is_written_once_as_soon_as_its_transmission_begins(tmp_path):
    path = tmp_path / "truth.jsonl"
    network = simulation(FIXED, MOVING, truth_path=path)
    log = TruthLog(simulation=network, start_utc_ns=START_UTC_NS)
    log.open()
    log.open()
    lines = []
    for until_s in (0.5, 1.5, 1.2, 4.5, 4.5, 15.0):
        log.advance(until_s)
        lines.append(len(path.read_text().splitlines()))
    assert lines == [0, 1, 1, 2, 2, 5]
    log.close()
    log.close()
    log.advance(100.0)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(t["transmitter"], t["start_utc_ns"]) for t in written] == [
        (t.transmitter, t.start_utc_ns) for t in all_of(network, until_s=15.0)
    ]


def test_without_a_path_nothing_is_written():
    log = TruthLog(simulation=simulation(FIXED), start_utc_ns=START_UTC_NS)
    log.open()
    log.advance(100.0)
    log.close()


def test_a_truth_file_that_cannot_be_made_is_named(tmp_path):
    path = tmp_path / "nowhere" / "truth.jsonl"
    log = TruthLog(simulation=simulation(FIXED, truth_path=path), start_utc_ns=START_UTC_NS)
    with pytest.raises(SourceError, match=r"simulation\.truth_path .*nowhere.*: No such file"):
        log.open()
