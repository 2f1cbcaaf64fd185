"""Three emulated KiwiSDRs replay the real recordings of DCF77: the same fixes as from the files.

The emulated world goes faster than the real one: the servers send their frames ``SPEED`` times as
fast as the converters sampled, the stamps stay those of 2017, and the clocks of the pipeline's
host (:class:`AirTime`) begin in 2017 and go as fast. Nothing else of the client is different.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from heimdall_edge.config_file import load_config
from heimdall_edge.config_kinds import KiwiSdr
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.locate.model import LocatorModel, reference_model_path
from heimdall_edge.metrics import Metrics
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.replay import offline
from heimdall_edge.types import Fix, Place
from tests.emulators.kiwi_air import AirTime, Recording
from tests.emulators.kiwi_server import KiwiServer

NS = 1_000_000_000
BEGUN_UTC_NS = 1_511_779_316 * NS  # 2017-11-27T10:41:56Z
SETTING_UP_NS = 12 * NS
SPEED = 6.0
MAST = (50.0155, 9.0108)
WINDOWS = 5
LIVE_WINDOWS = 4
"""Radios are waited for once they have said that they listen, so the first one may stay alone."""
EXAMPLE = Path(__file__).parent.parent / "config" / "examples" / "kiwi-dcf77.toml"


class Fixes:
    """A publisher that keeps what is published."""

    def __init__(self) -> None:
        self.fixes: list[Fix] = []
        self.statuses, self.observations = [], []
        self.are_enough = threading.Event()
        self.state = PublisherState(is_connected=True)

    @property
    def progress_monotonic_s(self):
        return time.monotonic()

    def publish_fix(self, fix):
        self.fixes.append(fix)
        if len(self.by_window()) >= LIVE_WINDOWS:
            self.are_enough.set()

    def publish_observation(self, observation):
        self.observations.append(observation)

    def publish_receiver(self, status):
        self.statuses.append(status)

    def in_words(self):
        """For when it is not as it should be."""
        heard = [
            (
                fix.scene.start_utc_ns / NS,
                fix.reason,
                [o.receiver.receiver_id for o in fix.scene.heard],
            )
            for fix in self.fixes
        ]
        return f"{heard}, {[(s.receiver_id, s.state, s.reason) for s in self.statuses]}"

    def by_window(self) -> dict[int, Fix]:
        """The fixes of whole windows with all three receivers, by the second they begin at."""
        return {
            round(fix.scene.start_utc_ns / NS): fix
            for fix in self.fixes
            if fix.position is not None and len(fix.scene.heard) == 3
        }


@contextlib.contextmanager
def running(config, publisher, **around):
    model = LocatorModel.load(reference_model_path(), sha256=None)
    pipeline = Pipeline(
        config=config,
        model=model,
        reference=model,
        publisher=publisher,
        metrics=Metrics(),
        **around,
    )
    pipeline.start()
    yield pipeline
    assert pipeline.stop(time.monotonic() + 10) == []


@pytest.fixture(scope="module")
def folder(data_dir):
    folder = data_dir / "kiwi_dcf77"
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}")
    return folder


@pytest.fixture(scope="module")
def example(folder):
    config = offline(load_config(EXAMPLE), None)
    receivers = tuple(
        receiver.model_copy(
            update={
                "recording": receiver.recording.model_copy(
                    update={"path": folder / receiver.recording.path.name}
                )
            }
        )
        for receiver in config.receivers
    )
    # In air time: on a busy machine, a second of it is long in a world that goes faster.
    locator = config.locator.model_copy(update={"wait_s": 60.0})
    return config.model_copy(update={"receivers": receivers, "locator": locator})


@pytest.fixture(scope="module")
def from_files(example, eventually):
    publisher = Fixes()
    with running(example, publisher) as pipeline:
        eventually(lambda: pipeline.has_ended, "the files come to their end")
    return publisher.by_window()


@pytest.fixture(scope="module")
def live(example):
    """What the same configuration gives with the recordings behind three servers."""
    world = AirTime(begun_utc_ns=BEGUN_UTC_NS - SETTING_UP_NS, speed=SPEED)
    publisher = Fixes()
    with contextlib.ExitStack() as stack:
        receivers = []
        for receiver in example.receivers:
            air = Recording(receiver.recording.path, near_utc_ns=BEGUN_UTC_NS)
            server = stack.enter_context(KiwiServer(air, time=world))
            table = KiwiSdr(host=server.host, port=server.port)
            live = {"kind": "kiwisdr", "recording": None, "kiwisdr": table}
            receivers.append(receiver.model_copy(update=live | {"center_freq_hz": 77_500.0}))
        config = example.model_copy(update={"receivers": tuple(receivers)})
        with running(config, publisher, host=world):
            assert publisher.are_enough.wait(30), publisher.in_words()
    return publisher


@pytest.mark.real_data
def test_the_fixes_are_those_of_the_files(live, from_files):
    assert len(from_files) == WINDOWS
    fixes = live.by_window()
    assert len(fixes) >= LIVE_WINDOWS
    assert fixes.keys() <= from_files.keys()
    for window, fix in fixes.items():
        here, there = fix.position, from_files[window].position
        apart_m = distance_m(
            here.latitude_deg, here.longitude_deg, there.latitude_deg, there.longitude_deg
        )
        assert apart_m < 300, f"window at {window}: {apart_m:.0f} m"
        assert here.ellipse.semi_major_m == pytest.approx(there.ellipse.semi_major_m, rel=0.02)


@pytest.mark.real_data
def test_each_fix_s_95_ellipse_holds_the_mast(live):
    for fix in live.by_window().values():
        position = fix.position
        assert fix.method == "tdoa"
        assert position.ellipse.probability == 0.95
        frame = LocalFrame(Place(position.latitude_deg, position.longitude_deg))
        error_m = np.array(frame.to_enu_m(*MAST)[:2], float)
        ee, en, nn = position.covariance_enu_m2
        distance = error_m @ np.linalg.solve([[ee, en], [en, nn]], error_m)
        assert distance < -2 * np.log(0.05)


@pytest.mark.real_data
def test_no_sample_is_missing_and_every_stamp_is_locked(live):
    assert all(o.clock.locked and o.clock.sigma_s < 1e-6 for o in live.observations)
    assert all(o.count.lost == o.count.dropped == 0 for o in live.observations)
