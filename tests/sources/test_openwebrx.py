from __future__ import annotations

import math
import threading
import time

import pytest

from heimdall_edge.config import Channel
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import SOURCES
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, ObservationSource
from heimdall_edge.sources.openwebrx import OpenWebRxSource
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.websocket import USER_AGENT
from heimdall_edge.types import Place
from tests.emulators.openwebrx_server import OpenWebRxServer
from tests.sources.contract import PATIENCE_S, _LifeContract
from tests.sources.listening_thread import Ear
from tests.sources.openwebrx_pages import INFO, A, source_on, table, two_profiles


@pytest.fixture
def server():
    with two_profiles() as server:
        yield server


class TestOpenWebRxKeepsTheContract(_LifeContract):
    @pytest.fixture
    def lasting_source(self, server):
        source = source_on(server)
        yield source
        source.close()

    @pytest.fixture
    def source(self, server):
        """One that is closed after it has said a little."""

        class Brief(OpenWebRxSource):
            def observations(self):
                for n, said in enumerate(super().observations()):
                    yield said
                    if n == 3:
                        self.close()

        source = Brief(
            receiver=table(server),
            info=INFO,
            channels=[A],
            servers=PublicServers(least_pause_s=0.0),
        )
        yield source
        source.close()

    def test_it_is_a_live_observation_source_of_its_kind(self, source):
        assert isinstance(source, ObservationSource)
        assert not source.may_wait
        assert source.device is None
        assert "openwebrx" in SOURCES


# ── what it hears ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("compression", ["none", "adpcm"])
def test_a_transmission_is_heard_with_its_level_and_its_times(server, compression, eventually):
    server.compression = compression
    with Ear(source_on(server)) as ear:
        eventually(lambda: len(ear.listened("a")) > 4, "it listens")
        began_ns, carrier = time.time_ns(), server.key(A.frequency_hz, -60.0, width_hz=8e3)
        time.sleep(1.2)
        server.release(carrier)
        ended_ns = time.time_ns()
        eventually(lambda: ear.heard("a"), "the transmission is heard")
    (a,) = ear.heard("a")
    edge_ns = 0.5e9 if compression == "adpcm" else 0.2e9
    assert abs(a.start_utc_ns - began_ns) < edge_ns
    assert abs(a.end_utc_ns - ended_ns) < edge_ns
    assert a.level_dbfs == pytest.approx(-60, abs=1.0)
    assert a.noise_floor_dbfs == pytest.approx(-131 + 10 * math.log10(12.5e3), abs=1.0)
    assert a.receiver.place == Place(45.0, 7.0, 300.0, antenna_height_m=12.0)
    assert (a.mel is None) == (compression == "adpcm")
    assert ear.heard("b") == []
    assert server.user_agents[0] == USER_AGENT
    assert not any("selectprofile" in text or "setfrequency" in text for text in server.received)


def test_while_another_listener_has_it_elsewhere_nothing_is_claimed(server, eventually):
    with Ear(source_on(server)) as ear:
        eventually(lambda: ear.listened("a"), "it listens")
        server.select_profile("70cm")
        time.sleep(0.3)
        n_said = len(ear.said)
        server.key(A.frequency_hz, -60.0)
        time.sleep(1.0)
        assert ear.said[n_said:] == []
        away_until_ns = time.time_ns()
        server.select_profile("2m")
        eventually(lambda: ear.said[n_said:], "it listens again")
    assert ear.said[n_said].start_utc_ns >= away_until_ns
    assert ear.error is None


def test_a_ping_is_answered(server, eventually):
    with Ear(source_on(server)):
        eventually(lambda: server.ping(), "it is connected")
        for pong in server.ping():
            assert pong.wait(PATIENCE_S)


def test_the_configured_place_stands(server, eventually):
    with Ear(source_on(server, receiver=table(server, place=True))) as ear:
        eventually(lambda: ear.listened("a"), "it listens")
    assert ear.listened("a")[0].receiver == INFO


def test_what_was_opened_is_described(server):
    source = source_on(server)
    source.open()
    assert source.device == "Emulated (openwebrx v1.2.3), 144.8750–145.1250 MHz"
    source.close()


def test_another_path_and_ipv6_will_do():
    with OpenWebRxServer(host="::1", path="/sdr/ws/") as server:
        source = source_on(server, receiver=table(server, path="/sdr/ws/"))
        source.open()
        assert source.device.startswith("Emulated")
        source.close()


def test_a_status_page_that_is_hidden_is_done_without(server):
    server.pages = set()
    source = source_on(server)
    source.open()
    assert source.device.startswith("OpenWebRX")
    source.close()


# ── what cannot be ────────────────────────────────────────────────────────────────────────


def fails_to_open(source: OpenWebRxSource, match: str) -> SourceError:
    with pytest.raises(SourceError, match=match) as failure:
        source.open()
    source.close()
    return failure.value


def test_no_profile_for_any_channel_names_what_there_is(server):
    far = Channel(name="far", frequency_hz=446e6)
    error = fails_to_open(
        source_on(server, channels=[far]),
        r"no profile holds far \(446.0000 MHz\); it offers rtl/2m 145.0000 MHz ± 0.1250, rtl/70cm",
    )
    assert error.pause_s == 300.0
    assert server.n_connections == 0


def test_a_receiver_on_another_band_is_left_alone_and_told_where_it_is(server):
    server.select_profile("70cm")
    error = fails_to_open(
        source_on(server),
        r"is tuned to 438.0000 MHz ± 0.1250, where it cannot measure a .*profiles that could: "
        r"rtl/2m 145.0000 MHz",
    )
    assert error.pause_s == 300.0


def test_a_band_that_does_not_return_is_not_waited_for_without_end(server, eventually):
    with Ear(source_on(server, patience_s=0.5)) as ear:
        eventually(lambda: server.is_heard, "rows go out")
        server.select_profile("70cm")
        error = ear.ends()
    assert "is tuned to 438.0000 MHz" in str(error)
    assert error.pause_s == 300.0


def test_it_leaves_when_its_owner_wants_listeners_to(server):
    server.session_timeout_s = 1
    began_s = time.monotonic()
    with Ear(source_on(server)) as ear:
        error = ear.ends()
    assert 0.9 < time.monotonic() - began_s < 3.0
    assert "lets a listener stay 1 s" in str(error)
    assert error.pause_s == 600.0


@pytest.mark.parametrize(
    ("reason", "pause_s"), [("Too many clients", 600.0), ("Client address banned", 3600.0)]
)
def test_a_server_that_sends_us_away_is_left_alone(server, reason, pause_s):
    server.refuse = reason
    servers = PublicServers(least_pause_s=0.0)
    error = fails_to_open(source_on(server, servers=servers), f":{server.port}: .*{reason}")
    assert error.pause_s == pause_s
    again = fails_to_open(source_on(server, servers=servers), "left alone")
    assert again.pause_s == pytest.approx(pause_s, abs=5)


def test_two_receivers_do_not_share_a_server(server):
    servers = PublicServers(least_pause_s=0.0)
    first = source_on(server, servers=servers)
    first.open()
    fails_to_open(source_on(server, servers=servers), "another receiver of this station uses it")
    first.close()
    second = source_on(server, servers=servers)
    second.open()
    second.close()


def test_nobody_knowing_where_it_is_is_for_the_configuration_to_say(server):
    server.place = None
    with pytest.raises(SourceDataError, match=r"expected latitude_deg and longitude_deg of .*hill"):
        source_on(server).open()


def test_durations_that_leave_nothing_are_refused(server):
    short = Channel(name="a", frequency_hz=145e6, max_duration_s=0.2)
    with pytest.raises(SourceDataError, match=r"min_duration_s 0.3 leaves nothing of channel a"):
        source_on(server, channels=[short]).open()


def test_a_foreign_greeting_is_told(server):
    server.greeting = "HELLO"
    fails_to_open(source_on(server), "greeting is 'HELLO': expected 'CLIENT DE SERVER")


def test_a_server_that_says_nothing_of_its_band_is_given_up(server):
    server.speaks = False
    fails_to_open(source_on(server, start_s=0.3), "does not say what it is tuned to for 0.3 s")


def test_half_an_answer_and_no_more_is_given_up_when_closed(server):
    server.half_header = True
    source = source_on(server)
    threading.Timer(0.3, source.close).start()
    began_s = time.monotonic()
    with pytest.raises(SourceError, match="closed while connecting"):
        source.open()
    assert time.monotonic() - began_s < 0.3 + CLOSE_TIMEOUT_S


def test_nobody_there_is_told():
    with OpenWebRxServer() as server:
        receiver = table(server)
    fails_to_open(source_on(server, receiver=receiver), "cannot connect: Connection refused")


def test_observations_need_an_open_source(server):
    with pytest.raises(SourceError, match="is not open"):
        next(source_on(server).observations())


def test_an_error_asks_for_the_whole_pause_so_that_its_reason_stands_until_the_next_attempt(server):
    server.kill()
    error = fails_to_open(source_on(server, servers=PublicServers()), "refused")
    assert 110.0 < error.pause_s <= 120.0
