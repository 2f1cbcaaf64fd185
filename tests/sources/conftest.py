"""What tests of several sources ask for."""

from __future__ import annotations

import subprocess

import pytest

from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.kiwi_setup import Wish
from heimdall_edge.sources.kiwisdr import KiwiSource
from heimdall_edge.sources.public_servers import PublicServers
from tests.emulators.kiwi_air import AirTime, Noise
from tests.emulators.kiwi_server import KiwiServer
from tests.sources.kiwi_reading import BEGUN_UTC_NS, SPEED


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for ``localhost``, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ),
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def kiwi_world():
    return AirTime(begun_utc_ns=BEGUN_UTC_NS, speed=SPEED)


@pytest.fixture
def kiwi_server(kiwi_world):
    with KiwiServer(Noise(begun_utc_ns=BEGUN_UTC_NS), time=kiwi_world) as server:
        yield server


@pytest.fixture
def kiwi_source_for(kiwi_world):
    """A server → a source that visits it; closed at the end."""
    made = []

    def make(server, *, kind=KiwiSource, servers=None, wish=None, **options):
        asked = {
            "address": Address(server.host, server.port),
            "user": "heimdall-edge test",
            "center_freq_hz": 77_500.0,
            "half_band_hz": 5_000.0,
            "agc": False,
            "gain_db": 50.0,
        }
        defaults = {"host": kiwi_world, "stall_s": 40.0, "setup_s": 200.0}
        made.append(
            kind(
                wish=Wish(**asked | (wish or {})),
                servers=servers or PublicServers(),
                **defaults | options,
            )
        )
        return made[-1]

    yield make
    for source in made:
        source.close()
