"""Real SoapySDR software for tests: what a module imports, it may ask for."""

import psutil
import pytest

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.soapy import SoapyDevices, SoapySource

from ..emulators.soapy_device import SoapyDevice
from ..emulators.soapy_modules import compiled
from ..emulators.soapy_server import SoapyServer

RATE_HZ = 1e6
CENTER_HZ = 100e6
TONE_HZ = 100.25e6


@pytest.fixture
def module_folder(request, monkeypatch):
    """Where the simulated device's module is; SoapySDR looks for modules there."""
    folder = compiled("heimdallsim", "SoapySDR").parent
    monkeypatch.setenv("SOAPY_SDR_PLUGIN_PATH", str(folder))
    return folder


@pytest.fixture
def device_of(module_folder, tmp_path_factory):
    """Settings of the simulated device → a device of its own."""
    return lambda **settings: SoapyDevice(tmp_path_factory.mktemp("device"), **settings)


@pytest.fixture
def server(module_folder, request, tmp_path):
    """A SoapySDRServer that runs."""
    no_avahi = compiled("no_avahi")
    log = tmp_path / "server.log"
    with SoapyServer(module_folder=module_folder, no_avahi=no_avahi, log=log) as server:
        yield server


def receiver_of(args, *, name="rx", **settings):
    """A receiver's configuration; settings are its own, or its table's."""
    table = {"device": args}
    for key in ("channel", "antenna", "gains", "settings", "format", "bandwidth_hz", "ppm"):
        if key in settings:
            table[key] = settings.pop(key)
    if not settings.get("agc") and not table.get("gains"):
        settings.setdefault("gain_db", 20.0)
    if "scan" not in settings:
        settings.setdefault("center_freq_hz", CENTER_HZ)
    return Receiver(
        **{"id": name, "kind": "soapy", "sample_rate_hz": RATE_HZ, **settings}, soapy=table
    )


@pytest.fixture
def sources_of():
    """Receivers of one daemon → their sources; closed at the end, when no process may be left."""
    made = []

    def make(*receivers, settle_s=0.1, **timeouts):
        devices = SoapyDevices(receivers, **timeouts)
        host = SystemTime()
        sources = [
            SoapySource(receiver=r, devices=devices, host=host, settle_s=settle_s)
            for r in receivers
        ]
        made.extend(sources)
        return sources

    yield make
    for source in made:
        source.close()
    here = [child for child in psutil.Process().children() if "soapy" in " ".join(child.cmdline())]
    assert here == []


@pytest.fixture
def source_of(sources_of):
    """Device arguments, and what ``receiver_of`` and the source take → a source."""

    def make(args, *, timeouts=None, **settings):
        (source,) = sources_of(receiver_of(args, **settings), **(timeouts or {}))
        return source

    return make
