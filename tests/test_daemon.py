"""The daemon in this process, with scripted signals: start, reload, refuse, stop."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from heimdall_edge.config import Config
from heimdall_edge.config_file import parse_config
from heimdall_edge.daemon import Daemon
from heimdall_edge.errors import ConfigError
from heimdall_edge.locate.model import reference_model_path
from heimdall_edge.metrics import Metrics
from heimdall_edge.process import ExitCode, ProcessSignals
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.publish.outbox import OutboxState
from heimdall_edge.publish.payload_station import InfoPayload, StatsPayload
from heimdall_edge.types import ClockSource, ClockState, Fix, Observation, ReceiverStatus

STATION = """
station = { name = "s", latitude_deg = 45.0, longitude_deg = 7.0 }
metrics.enabled = false
[[channels]]
name = "a"
frequency_hz = 446.0e6
[[channels]]
name = "b"
frequency_hz = 446.03e6
"""
RECEIVER = """
[[receivers]]
id = "{name}"
kind = "simulated"
latitude_deg = {latitude}
longitude_deg = {longitude}
center_freq_hz = 446.01e6
sample_rate_hz = 250e3
gain_db = 40.0
level_offset_sd_db = 2.0
simulated = {{ pace = "{pace}", full_scale_dbm = -35.0, block_samples = 16_384 }}
"""
SIMULATION = """
[simulation]
duration_s = 4.0
propagation = { shadowing_sigma_db = 4.0 }
[[simulation.transmitters]]
name = "tx"
latitude_deg = 45.01
longitude_deg = 7.01
frequency_hz = 446.0e6
power_dbm = 37.0
"""
START = 1_790_000_000_000_000_000
PLACES = {"n": (45.03, 7.01), "e": (45.01, 7.05), "s": (44.99, 7.0), "w": (45.01, 6.97)}


def config_text(pace: str = "fast", *, places: dict[str, tuple[float, float]] = PLACES) -> str:
    receivers = [
        RECEIVER.format(name=name, latitude=latitude, longitude=longitude, pace=pace)
        for name, (latitude, longitude) in places.items()
    ]
    return STATION + "".join(receivers) + SIMULATION


class Recorder:
    """A publisher that keeps what it is given."""

    progress_monotonic_s = float("inf")
    state = PublisherState(
        is_connected=True,
        outbox=OutboxState(depth=3, bytes=9, oldest_age_s=1.5, on_disk=True, evicted={"age": 4}),
    )

    def __init__(self) -> None:
        self.fixes: list[Fix] = []
        self.observations: list[Observation] = []
        self.receivers: list[ReceiverStatus] = []
        self.infos: list[InfoPayload] = []
        self.stats: list[StatsPayload] = []
        self.is_started = self.is_stopped = False

    def start(self) -> None:
        self.is_started = True

    def stop(self, timeout_s: float) -> None:
        self.is_stopped = True

    def publish_fix(self, fix: Fix) -> None:
        self.fixes.append(fix)

    def publish_observation(self, observation: Observation) -> None:
        self.observations.append(observation)

    def publish_info(self, info: InfoPayload) -> None:
        self.infos.append(info)

    def publish_receiver(self, status: ReceiverStatus) -> None:
        self.receivers.append(status)

    def publish_stats(self, stats: StatsPayload) -> None:
        self.stats.append(stats)


class Script:
    """Signals in the order given, each after a turn; and what to do before each."""

    def __init__(self, *steps: int | Callable[[], object]) -> None:
        self._steps = list(steps)

    def wait(self, timeout_s: float) -> int | None:
        if not self._steps:
            threading.Event().wait(timeout_s)
            return None
        step = self._steps.pop(0)
        if callable(step):
            step()
            return None
        return step


class Texts:
    """A configuration file that the test edits; without a file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def load(self) -> Config:
        return parse_config(self.text, name="s.toml")

    def become(self, old: str, new: str) -> Callable[[], None]:
        def edit() -> None:
            assert old in self.text
            self.text = self.text.replace(old, new)

        return edit


def daemon_of(texts: Texts, script: Script, recorder: Recorder, **more: Any) -> Daemon:
    return Daemon(
        load=texts.load,
        publisher_of=lambda _config, _metrics: recorder,
        signals=script,
        **more,
    )


def test_simulated_receivers_give_a_fix_near_the_truth_and_the_end_is_clean():
    recorder = Recorder()
    daemon = daemon_of(
        Texts(config_text()), Script(), recorder, stop_at_end=True, start_utc_ns=START
    )
    assert daemon.run() is ExitCode.OK
    (fix,) = recorder.fixes
    assert fix.position is not None
    assert fix.position.latitude_deg == pytest.approx(45.01, abs=0.02)
    assert fix.position.longitude_deg == pytest.approx(7.01, abs=0.03)
    assert fix.position.circle.radius_m < 5_000
    assert {o.receiver.receiver_id for o in fix.scene.heard} == set(PLACES)
    assert recorder.is_started
    assert recorder.is_stopped
    received = {s.receiver_id: s.count.received for s in recorder.receivers}
    assert received == dict.fromkeys(PLACES, 1_000_000)
    assert recorder.stats[-1].fixes == 1
    assert recorder.stats[-1].samples["n"].lost == 0
    info = recorder.infos[0]
    assert info.station.name == "s"
    assert info.models[0].sha256 == daemon._model.identity.sha256
    value = daemon.metrics.registry.get_sample_value
    assert value("heimdall_edge_outbox_messages") == 3.0
    assert value("heimdall_edge_outbox_evicted_total", {"reason": "age"}) == 4.0


class Host:
    """A host that finds a time server once it is up."""

    def __init__(self) -> None:
        self._states = [ClockState()]

    def utc_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    @property
    def clock(self) -> ClockState:
        return self._states.pop() if self._states else ClockState(ClockSource.NTP, 0.01, True)


def test_info_says_the_host_s_clock_and_again_when_that_changes():
    recorder = Recorder()
    texts = Texts(config_text())
    daemon = daemon_of(texts, Script(), recorder, stop_at_end=True, start_utc_ns=START, host=Host())
    assert daemon.run() is ExitCode.OK
    told = [(info.clock.source, info.clock.locked, info.clock.sigma_s) for info in recorder.infos]
    assert told == [("none", False, None), ("ntp", True, 0.01)]


def test_what_was_heard_is_kept_where_that_is_wanted(tmp_path):
    capture = f"""
        state_dir = "{tmp_path}"
        [capture]
        enabled = true
        receivers = ["n", "e"]
        min_free_bytes = 0
        """
    recorder = Recorder()
    text = STATION.replace("[[channels]]", f"{capture}[[channels]]", 1)
    text += config_text().removeprefix(STATION)
    daemon = daemon_of(Texts(text), Script(), recorder, stop_at_end=True, start_utc_ns=START)
    assert daemon.run() is ExitCode.OK
    kept = sorted(path.name for path in (tmp_path / "evidence").glob("*.sigmf-meta"))
    heard = {o.observation_id: o for o in recorder.observations}
    assert len(kept) == 2
    for name in kept:
        (annotation,) = json.loads((tmp_path / "evidence" / name).read_text())["annotations"]
        observation = heard[annotation["heimdall:observation_id"]]
        assert f"_{observation.receiver.receiver_id}_a_" in name
    value = daemon.metrics.registry.get_sample_value
    assert value("heimdall_edge_evidence_recordings_total", {"outcome": "written"}) == 2.0
    assert value("heimdall_edge_evidence_bytes") > 10_000
    assert value("heimdall_edge_evidence_queued_bytes") == 0.0


def test_the_same_input_gives_the_same_fix_twice():
    ids = []
    for _ in range(2):
        recorder = Recorder()
        assert (
            daemon_of(
                Texts(config_text()), Script(), recorder, stop_at_end=True, start_utc_ns=START
            ).run()
            == 0
        )
        position = recorder.fixes[0].position
        assert position
        ids.append((recorder.fixes[0].fix_id, position.latitude_deg, position.longitude_deg))
    assert ids[0] == ids[1]


LIVE = config_text("real_time", places={"n": PLACES["n"]}).replace("duration_s = 4.0", "")


def run_script(texts: Texts, *steps: int | Callable[[], object]) -> tuple[Daemon, Recorder]:
    recorder = Recorder()
    daemon = daemon_of(texts, Script(*steps, signal.SIGTERM), recorder)
    assert daemon.run() is ExitCode.OK
    return daemon, recorder


def reloads(daemon: Daemon, outcome: str) -> float | None:
    labels = {"outcome": outcome}
    return daemon.metrics.registry.get_sample_value("heimdall_edge_reloads_total", labels)


def test_a_reload_takes_new_thresholds():
    texts = Texts(LIVE)
    daemon, recorder = run_script(
        texts, texts.become('name = "a"', 'name = "a"\nopen_db = 12.0'), signal.SIGHUP
    )
    assert reloads(daemon, "applied") == 1.0
    assert daemon._config.channels[0].open_db == 12.0
    assert recorder.infos[-1].problems == []
    assert recorder.infos[-1].config_digest != recorder.infos[0].config_digest


def test_a_reload_swaps_the_model(tmp_path):
    model = onnx.load(reference_model_path())
    for entry in model.metadata_props:
        if entry.key == "heimdall.version":
            entry.value = "2.0.0"
    newer = tmp_path / "newer.onnx"
    onnx.save(model, newer)
    texts = Texts(LIVE)
    daemon, recorder = run_script(
        texts,
        texts.become("metrics.enabled", f"locator.model_path = '{newer}'\nmetrics.enabled"),
        signal.SIGHUP,
    )
    assert reloads(daemon, "applied") == 1.0
    versions = [info.models[0].version for info in recorder.infos]
    assert versions == ["1.0.0", "2.0.0"]
    sha256 = hashlib.sha256(newer.read_bytes()).hexdigest()
    assert recorder.infos[-1].models[0].sha256 == sha256
    value = daemon.metrics.registry.get_sample_value
    labels = {"name": "reference", "version": "2.0.0", "sha256": sha256}
    assert value("heimdall_edge_model_info", labels) == 1.0
    assert daemon._pipeline.locating._locator._models[0][1].identity.version == "2.0.0"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("latitude_deg = 45.0,", "latitude_deg = 95.0,", "station.latitude_deg = 95.0"),
        ('name = "a"', 'name = "a"\nopen_db = ', "s.toml: Invalid value"),
        (
            "metrics.enabled = false",
            "metrics.enabled = false\nlocator.model_path = '/nowhere/m.onnx'",
            "/nowhere/m.onnx",
        ),
        (
            "metrics.enabled = false",
            f"metrics.enabled = false\nlocator.model_sha256 = '{'0' * 64}'",
            "0000",
        ),
        ("446.03e6", "447.0e6", "lies outside its band"),
    ],
)
def test_a_reload_that_is_wrong_is_refused_and_the_old_runs_on(old, new, problem):
    texts = Texts(LIVE)
    daemon, recorder = run_script(texts, texts.become(old, new), signal.SIGHUP)
    assert reloads(daemon, "refused") == 1.0
    (said,) = recorder.infos[-1].problems
    assert said.startswith("reload refused: ")
    assert problem in said
    assert recorder.infos[-1].config_digest == recorder.infos[0].config_digest


def test_a_receiver_that_is_switched_off_is_said_to_be_disabled():
    text = LIVE + RECEIVER.format(name="off", latitude=45.0, longitude=7.1, pace="real_time")
    text = text.replace('id = "off"', 'id = "off"\nenabled = false')
    _, recorder = run_script(Texts(text))
    off = [s for s in recorder.receivers if s.receiver_id == "off"]
    assert [(s.state.value, s.reason) for s in off] == [
        ("disabled", "disabled by the configuration")
    ]


def test_what_cannot_change_live_is_named_and_the_rest_is_taken():
    texts = Texts(LIVE)
    _, recorder = run_script(
        texts,
        texts.become("gain_db = 40.0", "gain_db = 30.0"),
        texts.become('name = "a"', 'name = "a"\nopen_db = 12.0'),
        signal.SIGHUP,
    )
    assert recorder.infos[-1].problems == ["needs restart: receivers"]


def test_a_model_that_is_refused_at_start_is_replaced_by_the_reference_and_said(tmp_path):
    broken = tmp_path / "m.onnx"
    broken.write_bytes(b"no model")
    texts = Texts(f"locator.model_path = '{broken}'\n" + LIVE)
    daemon, recorder = run_script(texts)
    (problem,) = recorder.infos[0].problems
    assert problem.startswith("model refused, the reference model runs instead: ")
    assert str(broken) in problem
    assert daemon._model.identity == daemon._reference.identity


def test_a_model_given_by_path_and_hash_is_taken(tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(reference_model_path().read_bytes())
    daemon, recorder = run_script(Texts(f"locator.model_path = '{copy}'\n" + LIVE))
    assert recorder.infos[0].problems == []
    assert daemon._model is not daemon._reference


def test_a_bug_in_a_thread_ends_the_process_as_a_failure(monkeypatch):
    def broken(*_arguments: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("heimdall_edge.reader.Reader._hand_over", broken)
    recorder = Recorder()
    assert daemon_of(Texts(LIVE), Script(), recorder).run() is ExitCode.FAILURE
    assert recorder.is_stopped


def test_a_metrics_port_that_is_taken_is_the_operators_to_solve(unused_tcp_port_held):
    text = LIVE.replace("metrics.enabled = false", f"metrics.port = {unused_tcp_port_held}")
    with pytest.raises(ConfigError, match=f"metrics.port = {unused_tcp_port_held}"):
        daemon_of(Texts(text), Script(), Recorder()).run()


@pytest.fixture
def unused_tcp_port_held():
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_the_watchdog_is_fed_while_all_goes_on_and_not_when_a_part_is_stuck(monkeypatch):
    fed: list[str] = []
    monkeypatch.setattr(
        "heimdall_edge.systemd.ServiceNotifier.alive", lambda _self: fed.append("fed")
    )
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    run_script(Texts(LIVE), lambda: None)
    assert fed
    fed.clear()
    monkeypatch.setattr(Recorder, "progress_monotonic_s", 0.0)
    run_script(Texts(LIVE), lambda: None)
    assert fed == []


def test_a_truth_file_is_written_for_evaluation(tmp_path):
    truth = tmp_path / "truth.jsonl"
    text = config_text().replace("duration_s = 4.0", f"duration_s = 4.0\ntruth_path = '{truth}'")
    assert (
        daemon_of(Texts(text), Script(), Recorder(), stop_at_end=True, start_utc_ns=START).run()
        == 0
    )
    assert '"transmitter": "tx"' in Path(truth).read_text()


def test_process_signals_are_taken_one_by_one():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signals = ProcessSignals()
        assert signals.wait(0.0) is None
        signal.raise_signal(signal.SIGHUP)
        assert signals.wait(1.0) == signal.SIGHUP
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_metrics_of_two_daemons_do_not_mix():
    assert Metrics().registry is not Metrics().registry
