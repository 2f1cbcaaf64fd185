from __future__ import annotations

import threading
import time

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.web_visit import WebVisit
from tests.emulators.openwebrx_server import OpenWebRxServer


@pytest.fixture
def server():
    with OpenWebRxServer() as server:
        yield server


@pytest.fixture
def servers():
    return PublicServers(least_pause_s=0.0)


def visit_to(server, servers) -> WebVisit:
    address = Address(server.host, server.port)
    return WebVisit(address, servers=servers, host=SystemTime())


def test_a_visit_fetches_pages_talks_and_leaves(server, servers):
    visit = visit_to(server, servers)
    visit.begin()
    assert visit.page("/status.json").status == 200
    assert not visit.is_connected
    visit.connect("/ws/")
    visit.send("SERVER DE CLIENT client=x type=receiver")
    assert str(visit.receive(visit.now_s() + 5, "no greeting")).startswith("CLIENT DE SERVER")
    visit.was_worth_it()
    visit.close()
    assert visit.is_connected
    assert visit.is_closed


def test_a_message_that_does_not_come_in_time_is_complained_of(server, servers):
    visit = visit_to(server, servers)
    visit.begin()
    visit.connect("/ws/")
    with pytest.raises(SourceError, match=rf"^127.0.0.1:{server.port}: no greeting for 0.1 s$"):
        visit.receive(visit.now_s() + 0.1, "no greeting for 0.1 s")
    with pytest.raises(SourceError, match="no time left"):
        visit.receive(visit.now_s() - 1, "no time left")
    visit.close()


def test_a_connection_that_ends_is_told_as_that_and_not_as_lateness(server, servers):
    visit = visit_to(server, servers)
    visit.begin()
    visit.connect("/ws/")
    threading.Timer(0.1, server.kill).start()
    with pytest.raises(SourceError, match=r"connection (lost|closed)"):
        visit.receive(visit.now_s() + 10, "late")
    visit.close()


def test_a_server_is_free_again_only_after_the_pause_it_asked_for(server, servers):
    first, second = visit_to(server, servers), visit_to(server, servers)
    first.begin()
    with pytest.raises(SourceError, match="another receiver"):
        second.begin()
    first.hang_up(pause_s=60.0)
    with pytest.raises(SourceError, match="left alone") as refusal:
        second.begin()
    assert refusal.value.pause_s == pytest.approx(60, abs=1)


def test_after_close_nothing_begins(server, servers):
    visit = visit_to(server, servers)
    visit.close()
    with pytest.raises(SourceError, match="was closed"):
        visit.begin()


def test_a_moment_is_now_by_all_clocks(server, servers):
    moment = visit_to(server, servers).moment()
    assert abs(moment.utc_ns - time.time_ns()) < 5e9
    assert abs(moment.monotonic_s - time.monotonic()) < 5
