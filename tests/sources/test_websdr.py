from __future__ import annotations

import math
import time

import pytest

from heimdall_edge.config import Channel
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import SOURCES
from heimdall_edge.sources.base import ObservationSource
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.websdr import CLIENT_NAME, WebSdrSource
from heimdall_edge.sources.websocket import USER_AGENT
from heimdall_edge.types import Place, ReceiverInfo
from tests.emulators.websdr_server import WebSdrServer
from tests.sources.contract import _LifeContract
from tests.sources.listening_thread import Ear

CHANNEL = Channel(name="c", frequency_hz=145.0125e6)
INFO = ReceiverInfo("s", "site", Place(50.0, 9.0))


@pytest.fixture
def server():
    with WebSdrServer() as server:
        yield server


def table(server, *, has_place: bool = True, **settings) -> Receiver:
    where = {"latitude_deg": 50.0, "longitude_deg": 9.0} if has_place else {}
    address = {"host": server.host, "port": server.port, **settings}
    return Receiver(id="site", kind="websdr", websdr=address, **where)


def source_on(server, *, channels=(CHANNEL,), receiver=None, **settings) -> WebSdrSource:
    return WebSdrSource(
        receiver=receiver or table(server),
        info=INFO,
        channels=channels,
        servers=settings.pop("servers", PublicServers(least_pause_s=0.0)),
        **settings,
    )


class TestWebSdrKeepsTheContract(_LifeContract):
    @pytest.fixture
    def lasting_source(self, server):
        source = source_on(server)
        yield source
        source.close()

    @pytest.fixture
    def source(self, server):
        """One that is closed after it has said a little."""

        class Brief(WebSdrSource):
            def observations(self):
                for n, said in enumerate(super().observations()):
                    yield said
                    if n == 3:
                        self.close()

        source = Brief(
            receiver=table(server),
            info=INFO,
            channels=[CHANNEL],
            servers=PublicServers(least_pause_s=0.0),
        )
        yield source
        source.close()

    def test_it_is_a_live_observation_source_of_its_kind(self, source):
        assert isinstance(source, ObservationSource)
        assert not source.may_wait
        assert "websdr" in SOURCES


def test_a_transmission_is_heard_by_the_meter_alone_as_a_relative_level(server, eventually):
    with Ear(source_on(server)) as ear:
        eventually(lambda: ear.listened("c"), "it listens")
        began_ns, carrier = time.time_ns(), server.key(CHANNEL.frequency_hz, -80.0)
        time.sleep(1.0)
        server.release(carrier)
        ended_ns = time.time_ns()
        eventually(lambda: ear.heard("c"), "the transmission is heard")
    (heard,) = ear.heard("c")
    assert abs(heard.start_utc_ns - began_ns) < 0.3e9
    assert abs(heard.end_utc_ns - ended_ns) < 0.3e9
    assert heard.level_dbfs == pytest.approx(-80, abs=1.0)
    assert heard.noise_floor_dbfs == pytest.approx(-147 + 10 * math.log10(12.5e3), abs=1.0)
    assert (heard.level_dbm, heard.noise_floor_dbm, heard.gain_db, heard.mel) == (None,) * 4
    assert heard.clock.sigma_s >= 0.5
    assert not heard.clock.locked
    assert ear.listened("c")[-1].full_scale_dbm is None


def test_it_tunes_once_and_says_who_it_is(server, eventually):
    with Ear(source_on(server)) as ear:
        eventually(lambda: ear.said, "it listens")
    assert len(server.tunings) == 1
    assert server.tunings[0].startswith("GET /~~param?f=145012.500&band=1&")
    assert f"name={CLIENT_NAME}" in server.tunings[0]
    assert server.origins == [f"http://127.0.0.1:{server.port}"]
    assert server.user_agents == [USER_AGENT] * 2


def test_that_nobody_verified_this_is_said_wherever_it_is_opened(server, caplog):
    source = source_on(server)
    with caplog.at_level("WARNING"):
        source.open()
    source.close()
    assert "unverified_protocol" in caplog.messages
    assert source.device == (
        "WebSDR.org, band 1 2m 145000.0 kHz ± 1024.0, fm (unverified protocol, relative levels)"
    )


def fails_to_open(source: WebSdrSource, match: str) -> SourceError:
    with pytest.raises(SourceError, match=match) as failure:
        source.open()
    source.close()
    return failure.value


def test_one_channel_it_must_be(server):
    other = Channel(name="d", frequency_hz=145.1e6)
    for channels, names in (((CHANNEL, other), "c, d"), ((), "none")):
        error = fails_to_open(
            source_on(server, channels=channels), f"watches {names}; expected one"
        )
        assert isinstance(error, SourceDataError)
    assert server.user_agents == []


def test_its_place_must_be_configured(server):
    error = fails_to_open(
        source_on(server, receiver=table(server, has_place=False)), "expected latitude_deg"
    )
    assert isinstance(error, SourceDataError)


def test_no_band_for_the_channel_names_what_there_is(server):
    far = Channel(name="far", frequency_hz=446e6)
    error = fails_to_open(
        source_on(server, channels=[far]),
        r"no band holds far \(446000.0 kHz\); it has 0 40m 7100.0 kHz ± 96.0, 1 2m",
    )
    assert error.pause_s == 3600.0
    assert server.n_connections == 0


@pytest.mark.parametrize("band", [0, 7])
def test_a_configured_band_that_does_not_hold_the_channel_is_the_configuration_s_fault(
    server, band
):
    receiver = table(server, band=band)
    error = fails_to_open(source_on(server, receiver=receiver), f"band {band} does not hold c")
    assert isinstance(error, SourceDataError)


def test_a_configured_band_is_taken(server):
    source = source_on(server, receiver=table(server, band=1))
    source.open()
    source.close()


def test_another_kind_of_site_is_told(server):
    server.script = "<html>It works</html>"
    error = fails_to_open(source_on(server), "bandinfo.js: .*expected a WebSDR.org site")
    assert error.pause_s == 600.0


def test_too_many_listeners_are_left_alone(server):
    server.refuses = True
    with Ear(source_on(server)) as ear:
        error = ear.ends()
    assert "too many listeners" in str(error)
    assert error.pause_s == 600.0


def test_it_leaves_when_a_listener_should(server):
    server.idle_ms = 1500
    began_s = time.monotonic()
    with Ear(source_on(server)) as ear:
        error = ear.ends()
    assert 1.4 < time.monotonic() - began_s < 3.0
    assert "idle time-out has come" in str(error)
    assert error.pause_s == 600.0


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (lambda s: s.kill(), "connection (lost|closed)"),
        (lambda s: s.stall(), "no S-meter reading for 1 s"),
        (lambda s: setattr(s, "has_meter", False), "no S-meter reading for 1 s"),
        (lambda s: setattr(s, "garbage", lambda: b"\xe0\x00"), "20 malformed messages in a row"),
        (lambda s: s.send_oversize(), "code 1009"),
        (lambda s: s.trickle(), "no S-meter reading for 1 s"),
    ],
    ids=["kill", "stall", "no meter", "garbage", "oversize", "trickle"],
)
def test_a_fault_is_an_error_that_names_the_server(server, eventually, fault, match):
    stall_s = 3.0 if "malformed" in match else 1.0
    with Ear(source_on(server, stall_s=stall_s)) as ear:
        eventually(lambda: server.is_heard, "it is tuned")
        fault(server)
        error = ear.ends()
    assert str(error).startswith(f"127.0.0.1:{server.port}: ")
    with pytest.raises(SourceError, match=match):
        raise error
    server.kill()


def test_what_is_open_is_given_before_the_error(server, eventually):
    with Ear(source_on(server)) as ear:
        eventually(lambda: ear.listened("c"), "it listens")
        server.key(CHANNEL.frequency_hz, -80.0)
        time.sleep(0.6)
        server.kill()
        ear.ends()
    assert len(ear.heard("c")) == 1


def test_observations_need_an_open_source(server):
    with pytest.raises(SourceError, match="is not open"):
        next(source_on(server).observations())
