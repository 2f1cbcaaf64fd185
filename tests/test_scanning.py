"""A receiver that scans among others that stay: its silence is never claimed for the time away."""

from __future__ import annotations

from functools import partial

import pytest

from heimdall_edge.assembly import receiver_info, surroundings_of
from heimdall_edge.config_file import parse_config
from heimdall_edge.locate.associate import Associator
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.signal.scan_chain import ScanChain
from heimdall_edge.sources import source_of
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import NS_PER_S

START_UTC_NS = 1_800_000_000_000_000_000
CONFIG = """
[station]
latitude_deg = 45.0
longitude_deg = 7.6

[[channels]]
name = "a"
frequency_hz = 446_006_250.0

[[channels]]
name = "b"
frequency_hz = 145_500_000.0

[[receivers]]
id = "stays"
kind = "simulated"
center_freq_hz = 446_040_000.0
channels = ["a"]
sample_rate_hz = 250_000.0
gain_db = 40.0
simulated = { pace = "fast", full_scale_dbm = -35.0 }
clock = { source = "gnss", sigma_s = 1e-7 }

[[receivers]]
id = "scans"
kind = "simulated"
sample_rate_hz = 250_000.0
gain_db = 40.0
simulated = { pace = "fast", full_scale_dbm = -35.0, antenna_offset_db = ANTENNA_DB }
clock = { source = "gnss", sigma_s = 1e-7 }
scan = { centers_hz = [446_040_000.0, 145_540_000.0], dwell_s = 3.0, settle_s = 0.1 }

[simulation]
duration_s = 13.0

[[simulation.transmitters]]
name = "tx"
latitude_deg = 45.01
longitude_deg = 7.62
frequency_hz = 446_006_250.0
first_on_s = 1.0
on_s = 0.8
off_s = 1.2
"""


def said_by(config, receiver):
    """What a receiver says, tuned as it is configured."""
    source = source_of(
        receiver,
        surroundings_of(
            config,
            receiver,
            start_utc_ns=START_UTC_NS,
            truth=TruthLog(simulation=config.simulation, start_utc_ns=START_UTC_NS),
            on_refused=lambda *_: None,
        ),
    )
    settings = {
        "receiver": receiver_info(config, receiver),
        "channels": config.channels_of(receiver),
        "gain_db": receiver.gain_db,
    }
    chain = SignalChain(**settings)
    if receiver.scan:
        chain = ScanChain(**settings, centers_hz=receiver.centers_hz)
    source.open()
    for heard in (*map(chain.process, source.blocks()), chain.flush()):
        yield from heard.observations
        yield from heard.listening


def scenes(antenna_db):
    config = parse_config(CONFIG.replace("ANTENNA_DB", str(antenna_db)))
    associator = Associator()
    for said in (s for receiver in config.receivers for s in said_by(config, receiver)):
        (associator.listened if hasattr(said, "limit_dbfs") else associator.add)(said)
    return associator.flush()


def claims(scene, receiver_id):
    """True: heard; False: not heard; None: it says nothing."""
    return next(
        (o.heard for o in scene.observations if o.receiver.receiver_id == receiver_id), None
    )


def starts_s(scene):
    return round((scene.start_utc_ns - START_UTC_NS) / NS_PER_S)


@pytest.mark.parametrize(("antenna_db", "is_heard"), [(0.0, True), (-80.0, False)])
def test_who_was_away_is_absent_and_who_was_there_says_what_it_heard(antenna_db, is_heard):
    claimed = {starts_s(s): partial(claims, s) for s in scenes(antenna_db)}
    assert set(claimed) == {1, 3, 5, 7, 9, 11}, "the one that stays hears all"
    assert all(claim("stays") for claim in claimed.values())
    said = {at_s: claim("scans") for at_s, claim in claimed.items()}
    assert said[5] is None, "it was away from start to end"
    assert said[11] is None
    assert said[1] is is_heard
    assert said[7] is is_heard
    assert said[3] is not False, "it left while that one spoke"
    assert said[9] is not False
