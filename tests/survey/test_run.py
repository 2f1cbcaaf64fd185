"""Receivers that are listened to for a while."""

from __future__ import annotations

import threading

import pytest

from heimdall_edge.config_file import parse_config
from heimdall_edge.errors import ConfigError, SourceError
from heimdall_edge.survey import run
from heimdall_edge.survey.run import survey

from .receivers import blocks, samples

NETWORK = """
[station]
latitude_deg = 45.0
longitude_deg = 7.6
[[channels]]
name = "pmr1"
frequency_hz = 446_006_250.0
[[channels]]
name = "sub"
frequency_hz = 145_500_000.0
[simulation]
duration_s = 30.0
truth_path = "truth.jsonl"
[[simulation.transmitters]]
name = "tx"
latitude_deg = 45.01
longitude_deg = 7.62
frequency_hz = 446_006_250.0
first_on_s = 1.0
on_s = 1.0
"""
STAYS = """
[[receivers]]
id = "stays"
kind = "simulated"
channels = ["pmr1"]
center_freq_hz = 446_040_000.0
sample_rate_hz = 250_000.0
gain_db = 40.0
simulated = { pace = "fast", full_scale_dbm = -35.0 }
"""
SCANS = """
[[receivers]]
id = "scans"
kind = "simulated"
sample_rate_hz = 250_000.0
gain_db = 40.0
simulated = { pace = "fast", full_scale_dbm = -35.0 }
scan = { centers_hz = [446_040_000.0, 145_540_000.0], dwell_s = 1.0 }
"""
ABSENT = """
[[receivers]]
id = "absent"
kind = "recording"
center_freq_hz = 446e6
sample_rate_hz = 250e3
channels = ["pmr1"]
recording = { path = "/absent/file.cu8" }
"""
LEVELS = """
[[receivers]]
id = "levels"
kind = "observations"
observations = { path = "-" }
"""


def config_of(*tables):
    return parse_config(NETWORK + "".join(tables))


def test_a_receiver_is_listened_to_for_the_time_that_was_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = survey(config_of(STAYS), seconds=4.0)
    assert found.problem is None
    (measured,) = found.measured
    assert measured.duration_s == pytest.approx(4.0, abs=0.27)
    (channel,) = measured.channels
    assert channel.n_bursts == 1
    assert channel.occupancy == pytest.approx(0.25, abs=0.03)
    assert not (tmp_path / "truth.jsonl").exists(), "a survey writes no truth"


def test_a_scan_is_measured_on_each_of_its_centres():
    (found,) = survey(config_of(SCANS), seconds=6.0)
    first, second = found.measured
    assert (first.center_freq_hz, second.center_freq_hz) == (446_040_000.0, 145_540_000.0)
    assert [c.channel.name for c in first.channels] == ["pmr1"]
    assert [c.channel.name for c in second.channels] == ["sub"]
    assert first.discarded + second.discarded > 0
    assert first.duration_s + second.duration_s < 6.3


def test_one_that_fails_is_said_and_hinders_no_other():
    absent, stays = survey(config_of(ABSENT, STAYS), seconds=1.0)
    assert absent.measured == ()
    assert "/absent/file.cu8" in absent.problem
    assert stays.problem is None
    assert len(stays.measured) == 1


def test_one_may_be_asked_for_by_name():
    (found,) = survey(config_of(ABSENT, STAYS), seconds=0.5, receiver_id="stays")
    assert found.receiver.id == "stays"
    with pytest.raises(ConfigError, match="no receiver has the id 'x'; expected one of: stays"):
        survey(config_of(STAYS), seconds=1.0, receiver_id="x")
    with pytest.raises(ConfigError, match="gives levels only"):
        survey(config_of(STAYS, LEVELS), seconds=1.0, receiver_id="levels")


def test_there_must_be_something_to_survey():
    with pytest.raises(ConfigError, match="nothing to survey"):
        survey(config_of(LEVELS), seconds=1.0)


class Scripted:
    """A source of given blocks that then waits to be closed, or fails."""

    may_wait, progress, device = False, 0.0, "a scripted radio"

    def __init__(self, given=(), *, fails=None):
        self._given, self._fails = given, fails
        self._closed = threading.Event()

    def open(self):
        pass

    def blocks(self):
        yield from self._given
        if self._fails:
            raise SourceError(self._fails)
        self._closed.wait(30)

    def close(self):
        self._closed.set()


@pytest.fixture
def scripted(monkeypatch):
    """Source → what the survey of a receiver that has it finds."""

    def found(source, **options):
        monkeypatch.setattr(run, "source_of", lambda *_: source)
        (surveyed,) = survey(config_of(STAYS), **{"seconds": 5.0, **options})
        return surveyed

    return found


def test_a_radio_that_gives_nothing_is_given_up(scripted, monkeypatch):
    monkeypatch.setattr(run, "GRACE_S", 0.2)
    found = scripted(Scripted(), seconds=0.1)
    assert found.problem == "no samples came"
    assert found.device == "a scripted radio"


def test_what_came_before_a_failure_counts(scripted):
    found = scripted(Scripted(blocks(samples(0.5)), fails="rx: unplugged"))
    assert found.problem == "rx: unplugged"
    assert found.measured[0].duration_s == pytest.approx(0.5)


def test_a_block_without_sense_is_said(scripted):
    bad = samples(0.5)
    bad[50_000] = complex("nan")
    found = scripted(Scripted(blocks(bad, datatype="cf32_le"), fails="end"))
    assert found.measured[0].duration_s == pytest.approx(0.5, abs=0.1)


def test_ctrl_c_ends_it_with_what_was_measured(scripted, monkeypatch):
    source = Scripted(blocks(samples(0.5)))
    join = threading.Thread.join
    pressed = []

    def interrupted(self, timeout=None):
        join(self, 0.3)
        if not pressed:
            pressed.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    found = scripted(source)
    monkeypatch.undo()
    assert found.measured[0].duration_s == pytest.approx(0.5)
