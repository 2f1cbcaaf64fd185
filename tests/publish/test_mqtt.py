"""The whole publisher against a real mosquitto, through what may happen to either."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from heimdall_edge.errors import ConfigError, OutboxError
from heimdall_edge.publish.broker import Tls
from heimdall_edge.publish.delivery import Puback
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.payload_station import (
    InfoPayload,
    SoftwarePayload,
    StationPayload,
    StatsPayload,
)
from heimdall_edge.publish.schemas import MODELS
from heimdall_edge.types import Fix, Observation, ReceiverState, ReceiverStatus

SECRET = "hunter2-hunter2"
INFO = InfoPayload(software=SoftwarePayload(version="0.1"), station=StationPayload(name="monte"))
RUNNING = ReceiverStatus("rx1", ReceiverState.RUNNING, 0, sample_rate_hz=2.4e6)

FixOf = Callable[..., Fix]
Make = Callable[..., Any]


def ids(received: list[Any]) -> list[str]:
    return [one.json["fix_id"] for one in received]


def without_repeats(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


# ── what is published ─────────────────────────────────────────────────────────────────────


def test_everything_goes_out_as_the_contract_says(
    mosquitto: Any,
    subscribe: Make,
    publisher_of: Make,
    fix_of: FixOf,
    observation_of: Callable[..., Observation],
) -> None:
    hub = subscribe(mosquitto.port)
    publisher = publisher_of(mosquitto.port, geojson=True, include_mel=True, include_iq=True)
    publisher.start()
    hub.wait_for("availability")
    publisher.publish_info(INFO)
    publisher.publish_receiver(RUNNING)
    publisher.publish_observation(observation_of())
    publisher.publish_fix(fix_of(1))
    publisher.publish_stats(StatsPayload(station="monte", uptime_s=60.0))
    base = "heimdall/v1/monte"
    expected = {
        f"{base}/availability": (1, True),
        f"{base}/info": (1, True),
        f"{base}/receivers/rx1/state": (1, True),
        f"{base}/observation": (1, False),
        f"{base}/fix": (1, False),
        f"{base}/fix/last/r1": (1, True),
        f"{base}/stats": (0, False),
    }
    for topic in expected:
        hub.wait_for(topic.removeprefix("heimdall/"))
    assert {one.topic: (one.qos, one.retain) for one in hub.received} == expected
    for one in hub.received:
        if not one.topic.endswith("/availability"):
            payload = one.json
            MODELS[payload["schema"]].model_validate(payload)
            assert payload["published_at"].endswith("Z")
    (fix,) = hub.on("monte/fix")
    assert fix.json["geojson"]["type"] == "Feature"
    assert fix.json["replayed"] is False
    assert fix.json["latency_ms"]["publish"] >= 0
    (observation,) = hub.on("observation")
    assert observation.json.keys() >= {"mel", "iq"}
    (last,) = hub.on("fix/last/r1")
    assert 3590 <= last.expiry_s <= 3600
    assert last.json["expires_at"] > last.json["published_at"]
    (info,) = hub.on("info")
    assert info.json["outbox"]["on_disk"] is True


def test_who_comes_later_finds_what_is_retained_and_nothing_else(
    mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf, refusal_of: FixOf
) -> None:
    early = subscribe(mosquitto.port)
    publisher = publisher_of(mosquitto.port)
    publisher.start()
    publisher.publish_info(INFO)
    publisher.publish_receiver(RUNNING)
    publisher.publish_fix(fix_of(1))
    publisher.publish_fix(refusal_of(2))
    early.wait_for("monte/fix", 2)
    while early.wait_for("fix/last/r1")[-1].json["fix_id"] != "fix-000002":
        early.wait_for("fix/last/r1", len(early.on("fix/last/r1")) + 1)
    late = subscribe(mosquitto.port)
    for topic in ("availability", "info", "rx1/state", "fix/last/r1"):
        late.wait_for(topic)
    assert len(late.received) == 4
    assert all(one.retain for one in late.received)
    assert late.on("fix/last/r1")[0].json["position"] is None


def test_a_station_says_online_and_stopped(
    mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf
) -> None:
    hub = subscribe(mosquitto.port)
    publisher = publisher_of(mosquitto.port)
    publisher.start()
    for n in range(200):
        publisher.publish_fix(fix_of(n))
    publisher.stop(20.0)
    said = hub.wait_for("availability", 2)
    assert [one.payload for one in said] == [b"online", b"stopped"]
    assert ids(hub.on("monte/fix")) == [f"fix-{n:06d}" for n in range(200)]
    assert hub.received[-1].payload == b"stopped"
    assert subscribe(mosquitto.port).wait_for("availability")[0].payload == b"stopped"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_both_protocols_deliver_in_order(
    mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf, protocol: str
) -> None:
    hub = subscribe(mosquitto.port, protocol=protocol)
    pubacks: list[Puback] = []
    publisher = publisher_of(
        mosquitto.port, broker={"protocol": protocol}, on_puback=pubacks.append
    )
    publisher.start()
    hub.wait_for("availability")
    expected = [f"fix-{n:06d}" for n in range(100)]
    for n in range(100):
        publisher.publish_fix(fix_of(n))
    assert ids(hub.wait_for("monte/fix", 100)) == expected
    publisher.stop(10.0)
    fresh = [p for p in pubacks if p.kind == "fix"]
    assert len(fresh) == 100
    assert all(p.since_call_s is not None and p.since_call_s >= p.latency_s for p in fresh)
    assert all(p.since_window_s is not None for p in fresh)


def test_a_caller_never_waits_for_the_disk(
    publisher_of: Make, fix_of: FixOf, tmp_path: Path
) -> None:
    class StuckOutbox(Outbox):
        is_stuck = threading.Event()
        go_on = threading.Event()

        def insert_many(self, *args: Any, **options: Any) -> list[int]:
            self.is_stuck.set()
            self.go_on.wait(20)
            return super().insert_many(*args, **options)

    outbox = StuckOutbox(tmp_path / "stuck.sqlite")
    publisher = publisher_of(1, outbox=outbox)
    publisher.start()
    publisher.publish_fix(fix_of(0))
    assert outbox.is_stuck.wait(20)
    for n in range(1, 50):
        publisher.publish_fix(fix_of(n))  # with a disk that hangs for ever, this returns
    outbox.go_on.set()
    publisher.stop(5.0)
    outbox.open(now_ns=0)
    assert len(outbox.oldest(100)) == 50
    outbox.close()


def test_a_fix_that_cannot_be_written_is_counted_and_the_next_one_goes(
    mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf
) -> None:
    hub = subscribe(mosquitto.port)
    refusals: list[str] = []
    publisher = publisher_of(mosquitto.port, on_refused=refusals.append)
    publisher.start()
    publisher.publish_fix(fix_of(1, inference_time_s=float("nan")))
    publisher.publish_fix(fix_of(2))
    assert ids(hub.wait_for("monte/fix")) == ["fix-000002"]
    assert refusals == ["unpublishable"]


def test_the_publisher_turns_also_when_nothing_happens(
    publisher_of: Make, eventually: Make
) -> None:
    publisher = publisher_of(1)
    before_s = publisher.progress_monotonic_s
    publisher.start()
    eventually(lambda: publisher.progress_monotonic_s > before_s, "the publisher has turned")
    state = publisher.state
    assert not state.is_connected
    assert state.last_error
    assert state.outbox.on_disk


def test_a_second_publisher_on_one_outbox_does_not_start(
    publisher_of: Make, tmp_path: Path
) -> None:
    publisher_of(1).start()
    with pytest.raises(OutboxError, match="another process"):
        publisher_of(1).start()


def test_stopping_what_was_never_started_does_no_harm(publisher_of: Make) -> None:
    publisher_of(1).stop(1.0)


# ── what may happen to the broker ─────────────────────────────────────────────────────────


@pytest.fixture
def durable_mosquitto(mosquitto_of: Make, tmp_path: Path) -> Any:
    """Keeps on disk what it owes to a hub that keeps its session."""
    broker = mosquitto_of(
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {tmp_path}/",
        "autosave_on_changes true",
        "autosave_interval 1",
    )
    broker.start()
    return broker


@pytest.fixture
def durable_hub(durable_mosquitto: Any, subscribe: Make) -> Any:
    return subscribe(durable_mosquitto.port, client_id="hub", keeps_session=True)


def test_a_broker_that_is_down_at_start_gets_everything_when_it_comes(
    durable_mosquitto: Any, durable_hub: Any, publisher_of: Make, fix_of: FixOf, eventually: Make
) -> None:
    durable_mosquitto.stop()
    publisher = publisher_of(durable_mosquitto.port)
    publisher.start()
    for n in range(50):
        publisher.publish_fix(fix_of(n))
    eventually(lambda: publisher.state.outbox.depth == 50, "50 fixes are on disk")
    assert "refused" in publisher.state.last_error.lower()
    durable_mosquitto.start()
    publisher.publish_fix(fix_of(50))
    received = durable_hub.wait_for_fixes({f"fix-{n:06d}" for n in range(51)})
    assert without_repeats(ids(received)) == [f"fix-{n:06d}" for n in range(51)]
    eventually(lambda: publisher.state.outbox.depth == 0, "the outbox is empty")


def test_what_waited_is_marked_as_replayed(
    durable_mosquitto: Any, durable_hub: Any, publisher_of: Make, fix_of: FixOf, eventually: Make
) -> None:
    publisher = publisher_of(durable_mosquitto.port)
    publisher.start()
    durable_hub.wait_for("availability")
    publisher.publish_fix(fix_of(0))
    durable_hub.wait_for("monte/fix", 1)
    durable_mosquitto.stop()
    eventually(lambda: not publisher.state.is_connected, "the publisher has noticed")
    publisher.publish_fix(fix_of(1))
    eventually(lambda: publisher.state.outbox.depth == 1, "the fix is on disk")
    durable_mosquitto.start()
    eventually(lambda: publisher.state.is_connected, "the publisher is connected again")
    publisher.publish_fix(fix_of(2))
    received = durable_hub.wait_for_fixes({"fix-000001", "fix-000002"})
    replayed = {one.json["fix_id"]: one.json["replayed"] for one in received}
    assert replayed == {"fix-000000": False, "fix-000001": True, "fix-000002": False}
    latency = {one.json["fix_id"]: one.json["latency_ms"] for one in received}
    assert "publish" in latency["fix-000002"]
    assert "publish" not in latency["fix-000001"]


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
def test_through_restarts_of_the_broker_no_fix_is_lost_and_order_is_kept(
    durable_mosquitto: Any,
    durable_hub: Any,
    publisher_of: Make,
    fix_of: FixOf,
    stop_signal: int,
) -> None:
    publisher = publisher_of(durable_mosquitto.port)
    publisher.start()
    n = 0
    for _ in range(3):
        for _ in range(30):
            publisher.publish_fix(fix_of(n))
            n += 1
        if stop_signal == signal.SIGKILL:
            # What a killed broker has acknowledged, and not yet written, is its own to lose.
            durable_hub.wait_for_fixes({f"fix-{i:06d}" for i in range(n)})
        durable_mosquitto.stop(stop_signal)
        for _ in range(5):
            publisher.publish_fix(fix_of(n))
            n += 1
        durable_mosquitto.start()
    received = durable_hub.wait_for_fixes({f"fix-{i:06d}" for i in range(n)})
    assert without_repeats(ids(received)) == [f"fix-{i:06d}" for i in range(n)]


def test_a_broker_that_hangs_longer_than_the_keep_alive_loses_nothing(
    mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf, eventually: Make
) -> None:
    hub = subscribe(mosquitto.port)
    publisher = publisher_of(mosquitto.port, broker={"keepalive_s": 1, "connect_timeout_s": 0.5})
    publisher.start()
    publisher.publish_fix(fix_of(0))
    hub.wait_for("monte/fix")
    mosquitto.pause()
    for n in range(1, 30):
        publisher.publish_fix(fix_of(n))
    eventually(lambda: not publisher.state.is_connected, "the keep-alive has run out")
    mosquitto.resume()
    received = hub.wait_for_fixes({f"fix-{n:06d}" for n in range(30)})
    assert any(one.json["replayed"] for one in received)
    assert [one.payload for one in hub.on("availability")][-1] == b"online"


def test_while_nobody_answers_a_stop_is_prompt_and_keeps_what_is_left(
    publisher_of: Make, fix_of: FixOf, tmp_path: Path
) -> None:
    publisher = publisher_of(1)
    publisher.start()
    for n in range(20):
        publisher.publish_fix(fix_of(n))
    publisher.stop(5.0)
    publisher.publish_fix(fix_of(99))
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.open(now_ns=0)
    stored = [json.loads(row.message.payload)["fix_id"] for row in outbox.oldest(100)]
    assert stored == [f"fix-{n:06d}" for n in range(20)]
    outbox.close()


# ── what may happen to us ─────────────────────────────────────────────────────────────────

VICTIM = """
import runpy, sys, time
from pathlib import Path
from heimdall_edge.publish.broker import Broker
from heimdall_edge.publish.mqtt import MqttPublisher
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.topics import Topics
make_fix = runpy.run_path(sys.argv[1])["make_fix"]
publisher = MqttPublisher(
    broker=Broker(host="127.0.0.1", port=int(sys.argv[2]), client_id="heimdall-monte"),
    topics=Topics(station="monte"),
    outbox=Outbox(Path(sys.argv[3])),
)
publisher.start()
number = int(sys.argv[4])
while True:
    publisher.publish_fix(make_fix(number))
    number += 1
    if number % 50 == 0:
        while publisher.state.outbox.depth < int(sys.argv[5]):
            time.sleep(0.005)
        print(number, flush=True)
        sys.stdin.readline()
"""


def test_a_publisher_that_is_killed_is_mourned_and_its_outbox_delivered(
    mosquitto_of: Make, subscribe: Make, publisher_of: Make, fix_of: FixOf, tmp_path: Path
) -> None:
    broker = mosquitto_of("allow_anonymous true")
    conftest, outbox = Path(__file__).with_name("conftest.py"), tmp_path / "outbox.sqlite"

    def run_and_kill(first: int, *, expect_rows: int, once: Make = lambda: None) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(conftest), str(broker.port), str(outbox),
             str(first), str(expect_rows)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as victim:  # fmt: skip
            assert victim.stdout is not None
            assert int(victim.stdout.readline()) == first + 50
            once()
            os.kill(victim.pid, signal.SIGKILL)

    run_and_kill(0, expect_rows=50)  # no broker at all: all of it waits on disk
    left = Outbox(outbox)
    left.open(now_ns=0)
    stored = {json.loads(row.message.payload)["fix_id"] for row in left.oldest(1000)}
    left.close()
    assert stored == {f"fix-{n:06d}" for n in range(50)}

    broker.start()
    hub = subscribe(broker.port)
    run_and_kill(50, expect_rows=0, once=lambda: hub.wait_for("monte/fix"))  # while it delivers
    assert hub.wait_for("availability", 2)[-1].payload == b"offline"
    publisher = publisher_of(broker.port)
    publisher.start()
    publisher.publish_fix(fix_of(999))
    received = hub.wait_for_fixes(stored | {"fix-000999"})
    assert without_repeats(ids(received))[:50] == sorted(stored)
    publisher.stop(10.0)
    assert publisher.state.outbox.depth == 0


def test_with_a_full_disk_it_goes_on_and_says_so(
    mosquitto: Any,
    subscribe: Make,
    publisher_of: Make,
    fix_of: FixOf,
    small_disk: Any,
) -> None:
    hub = subscribe(mosquitto.port)
    publisher = publisher_of(mosquitto.port, outbox=Outbox(small_disk.folder / "outbox.sqlite"))
    publisher.start()
    publisher.publish_receiver(RUNNING)
    hub.wait_for("rx1/state")
    small_disk.fill()
    n = 0
    while publisher.state.outbox.on_disk:
        publisher.publish_fix(fix_of(n))
        n += 1
        hub.wait_for("monte/fix", n)
    publisher.publish_fix(fix_of(n))
    hub.wait_for_fixes({f"fix-{i:06d}" for i in range(n + 1)})
    said = hub.wait_for("rx1/state", 2)[1].json["outbox"]
    assert said["on_disk"] is False
    assert "full" in said["last_error"]


# ── who may talk to whom ──────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; a broker and a client that the first one vouches for."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{authority}.key", "-out", f"{authority}.crt",
                "-subj", f"/CN={authority}", "-days", "2")  # fmt: skip
    (folder / "san").write_text("subjectAltName=DNS:localhost")
    for name in ("broker", "client"):
        openssl(
            "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        by_ca = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san")
        openssl("x509", "-req", "-in", f"{name}.csr", *by_ca, "-out", f"{name}.crt", "-days", "2")
    return folder


@pytest.fixture
def tls_mosquitto(mosquitto_of: Make, certificates: Path) -> Any:
    broker = mosquitto_of(
        "allow_anonymous true",
        f"cafile {certificates}/ca.crt",
        f"certfile {certificates}/broker.crt",
        f"keyfile {certificates}/broker.key",
        "require_certificate true",
    )
    broker.start()
    return broker


def tls_of(certificates: Path, **changes: Any) -> Tls:
    files = {
        "ca_file": certificates / "ca.crt",
        "cert_file": certificates / "client.crt",
        "key_file": certificates / "client.key",
    }
    return Tls(**{**files, **changes})


def test_over_tls_with_the_right_authority_all_is_delivered(
    tls_mosquitto: Any, subscribe: Make, publisher_of: Make, fix_of: FixOf, certificates: Path
) -> None:
    tls = tls_of(certificates)
    hub = subscribe(tls_mosquitto.port, tls=tls.context(), host="localhost")
    publisher = publisher_of(tls_mosquitto.port, broker={"host": "localhost", "tls": tls})
    publisher.start()
    publisher.publish_fix(fix_of(1))
    assert ids(hub.wait_for("monte/fix")) == ["fix-000001"]
    publisher.stop(10.0)
    assert hub.wait_for("availability", 2)[-1].payload == b"stopped"


@pytest.mark.parametrize(
    ("host", "changes", "reason"),
    [
        ("localhost", {"ca_file": "other.crt"}, "certificate verify failed"),
        ("127.0.0.1", {}, "IP address mismatch"),
        ("localhost", {"cert_file": None, "key_file": None}, ""),
        ("localhost", {"ca_file": "missing.crt"}, "missing.crt"),
    ],
)
def test_over_tls_nothing_is_said_to_a_stranger_or_by_one(
    tls_mosquitto: Any,
    publisher_of: Make,
    fix_of: FixOf,
    certificates: Path,
    eventually: Make,
    host: str,
    changes: dict[str, str | None],
    reason: str,
) -> None:
    files = {key: certificates / name if name else None for key, name in changes.items()}
    broker = {"host": host, "tls": tls_of(certificates, **files)}
    publisher = publisher_of(tls_mosquitto.port, broker=broker)
    publisher.start()
    publisher.publish_fix(fix_of(1))
    eventually(
        lambda: (
            publisher.state.last_error != "not connected yet"
            and reason in publisher.state.last_error
        ),
        f"refused for {reason!r}",
    )
    eventually(lambda: publisher.state.outbox.depth == 1, "the fix is on disk")
    assert publisher.state.acknowledged == {}


@pytest.fixture
def guarded_mosquitto(mosquitto_of: Make, tmp_path: Path) -> Any:
    """Lets ``monte`` in with a password, and refuses it one topic."""
    passwords, access = tmp_path / "passwords", tmp_path / "access"
    passwords.touch()
    for user in ("monte", "hub"):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, SECRET], check=True)
    access.write_text(
        "user monte\ntopic write heimdall/#\ntopic deny heimdall/v1/monte/observation\n"
        "user hub\ntopic read heimdall/#\n"
    )
    access.chmod(0o600)
    broker = mosquitto_of(
        "allow_anonymous false", f"password_file {passwords}", f"acl_file {access}"
    )
    broker.start()
    return broker


def test_a_topic_that_is_refused_stays_in_the_outbox_and_the_rest_is_delivered(
    guarded_mosquitto: Any,
    subscribe: Make,
    publisher_of: Make,
    fix_of: FixOf,
    observation_of: Callable[..., Observation],
    eventually: Make,
) -> None:
    hub = subscribe(guarded_mosquitto.port, username="hub", password=SECRET)
    refusals: list[str] = []
    publisher = publisher_of(
        guarded_mosquitto.port,
        broker={"username": "monte", "password": SecretStr(SECRET)},
        on_refused=refusals.append,
    )
    publisher.start()
    for n in range(5):
        publisher.publish_observation(observation_of(n))
        publisher.publish_fix(fix_of(n))
    assert ids(hub.wait_for("monte/fix", 5)) == [f"fix-{n:06d}" for n in range(5)]
    eventually(lambda: publisher.state.refused.get("Not authorized", 0) >= 1, "refused")
    eventually(lambda: publisher.state.outbox.depth == 5, "the observations are kept")
    assert set(refusals) == {"Not authorized"}
    assert hub.on("observation") == []


def test_a_wrong_password_is_said_and_appears_nowhere(
    guarded_mosquitto: Any,
    publisher_of: Make,
    eventually: Make,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = f"{SECRET}-wrong"
    publisher = publisher_of(
        guarded_mosquitto.port,
        broker={"username": "monte", "password": lambda: SecretStr(wrong)},
    )
    publisher.start()
    eventually(
        lambda: publisher.state.last_error == "refused by the broker: Not authorized", "refused"
    )
    told = [repr(publisher), repr(vars(publisher)), repr(publisher.state), caplog.text]
    told += [str(vars(record)) for record in caplog.records]
    told += capfd.readouterr()
    assert not any(SECRET in text for text in told)


def test_a_password_file_that_comes_later_is_read_then(
    guarded_mosquitto: Any,
    subscribe: Make,
    publisher_of: Make,
    fix_of: FixOf,
    tmp_path: Path,
    eventually: Make,
) -> None:
    file = tmp_path / "password"

    def password() -> SecretStr:
        try:
            return SecretStr(file.read_text().strip())
        except OSError as error:
            raise ConfigError(f"mqtt.password_file: {error}") from None

    hub = subscribe(guarded_mosquitto.port, username="hub", password=SECRET)
    publisher = publisher_of(
        guarded_mosquitto.port, broker={"username": "monte", "password": password}
    )
    publisher.start()
    publisher.publish_fix(fix_of(1))
    eventually(lambda: "mqtt.password_file" in (publisher.state.last_error or ""), "said")
    file.write_text(f"{SECRET}\n")
    assert ids(hub.wait_for("monte/fix")) == ["fix-000001"]
