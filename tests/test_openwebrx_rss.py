"""Three emulated OpenWebRX pages around an emulated transmitter: a fix by levels alone, near it."""

from __future__ import annotations

import contextlib
import math
import time

import numpy as np
import pytest

from heimdall_edge.config_file import parse_config
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.locate.model import LocatorModel, reference_model_path
from heimdall_edge.metrics import Metrics
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.types import Place, ReceiverState
from tests.emulators.openwebrx_server import EmulatedProfile, OpenWebRxServer
from tests.test_kiwi_live import Fixes

TRANSMITTER = (45.01, 7.01)
STATIONS = {"n": (45.06, 7.02), "se": (44.98, 7.07), "sw": (44.985, 6.95)}
CHANNEL_HZ = 145.0125e6
ELSEWHERE = EmulatedProfile("70cm", 438e6, 250e3)
CONFIG = """
station = { name = "s" }
[[channels]]
name = "a"
frequency_hz = 145.0125e6
"""
RECEIVER = """
[[receivers]]
id = "{name}"
kind = "openwebrx"
level_offset_sd_db = 2.0
openwebrx = {{ host = "{server.host}", port = {server.port} }}
"""


def level_dbfs(station: str) -> float:
    """Free of shadowing: 30 dB a decade of distance, -30 dB at 1 km."""
    return -30 - 30 * math.log10(float(distance_m(*STATIONS[station], *TRANSMITTER)) / 1e3)


@contextlib.contextmanager
def network():
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                OpenWebRxServer(
                    place=(*place, 300.0),
                    rows_per_s=10.0,
                    profiles=(EmulatedProfile("2m", 145e6, 250e3), ELSEWHERE),
                )
            )
            for name, place in STATIONS.items()
        }


@contextlib.contextmanager
def running(servers, publisher):
    receivers = [RECEIVER.format(name=name, server=server) for name, server in servers.items()]
    model = LocatorModel.load(reference_model_path(), sha256=None)
    pipeline = Pipeline(
        config=parse_config(CONFIG + "".join(receivers), name="t.toml"),
        model=model,
        reference=model,
        publisher=publisher,
        metrics=Metrics(),
    )
    pipeline.start()
    yield pipeline
    assert pipeline.stop(time.monotonic() + 10) == []


def transmit(servers, seconds: float) -> int:
    """Speak once, to be heard by all; when that began."""
    began_ns = time.time_ns()
    keyed = [
        (server, server.key(CHANNEL_HZ, level_dbfs(name), width_hz=8e3))
        for name, server in servers.items()
    ]
    time.sleep(seconds)
    for server, carrier in keyed:
        server.release(carrier)
    return began_ns


def test_three_pages_locate_a_transmitter_and_one_that_is_tuned_away_is_not_called_silent(
    eventually,
):
    publisher = Fixes()
    with network() as servers, running(servers, publisher) as pipeline:
        eventually(
            lambda: all(s.state is ReceiverState.RUNNING for s in pipeline.statuses()), "all run"
        )
        time.sleep(4.0)  # until each knows its noise
        began_ns = transmit(servers, 1.5)
        eventually(lambda: publisher.fixes, "there is a fix")
        # One of them is taken elsewhere: it must neither be waited for nor counted as silent.
        servers["n"].select_profile("70cm")
        time.sleep(3.0)
        transmit({name: servers[name] for name in ("se", "sw")}, 1.0)
        eventually(lambda: len(publisher.fixes) > 1, "there is another answer")
    first, second = publisher.fixes[:2]
    assert first.position is not None, publisher.in_words()
    assert first.method == "rss"
    assert {o.receiver.receiver_id for o in first.scene.heard} == set(STATIONS)
    for heard in first.scene.heard:
        name = heard.receiver.receiver_id
        assert heard.receiver.place == Place(*STATIONS[name], 300.0, antenna_height_m=10.0)
        assert heard.level_dbfs == pytest.approx(level_dbfs(name), abs=1.0)
        assert abs(heard.start_utc_ns - began_ns) < 0.4e9
    position = first.position
    frame = LocalFrame(Place(position.latitude_deg, position.longitude_deg))
    error_m = np.array(frame.to_enu_m(*TRANSMITTER)[:2], float)
    assert np.hypot(*error_m) < 2_000
    ee, en, nn = position.covariance_enu_m2
    assert error_m @ np.linalg.solve([[ee, en], [en, nn]], error_m) < -2 * math.log(0.05)
    assert {o.receiver.receiver_id for o in second.scene.observations} == {"se", "sw"}
    assert second.reason == "too_few_receivers"
