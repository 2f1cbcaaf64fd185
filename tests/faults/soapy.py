"""What happens to a SoapySDR device, through the real libSoapySDR and a module of our own."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tests.emulators.soapy_device import SoapyDevice
from tests.emulators.soapy_modules import compiled

from . import driver_process
from .fault import Kind
from .station import Station


@contextmanager
def device() -> Iterator[SoapyDevice]:
    """A device that SoapySDR finds while this lasts; nothing is left of what it was told."""
    modules = compiled("heimdallsim", "SoapySDR").parent
    found = mock.patch.dict(os.environ, {"SOAPY_SDR_PLUGIN_PATH": str(modules)})
    with tempfile.TemporaryDirectory() as folder, found:
        yield SoapyDevice(Path(folder))


def station(simulated: SoapyDevice) -> Station:
    return Station(
        f"""
kind = "soapy"
center_freq_hz = 446.2e6
sample_rate_hz = 1e6
gain_db = 20.0
soapy.device = "{simulated.args}"
"""
    )


KIND = Kind("soapy", peer=device, station=station)

FAULTS = (
    KIND.fault("every read fails, as after unplugging", SoapyDevice.die, says="reconnecting: "),
    KIND.fault(
        "stalls: every read times out", SoapyDevice.stall, says="reconnecting: .*no samples"
    ),
    KIND.fault("a read never returns", SoapyDevice.hang, says="reconnecting: .*no samples"),
    KIND.fault("the driver crashes", SoapyDevice.crash, says="reconnecting: .*SIGSEGV"),
    KIND.fault(
        "the driver's process is killed",
        lambda _device: driver_process.send(signal.SIGKILL, module="soapy"),
        says="reconnecting: .*SIGKILL",
    ),
    KIND.fault(
        "overflows by 100,000 samples, and says so",
        lambda simulated: simulated.overflow(100_000),
        says=None,
        loses=True,
    ),
    KIND.fault(
        "loses 100,000 samples that only its time shows",
        lambda simulated: simulated.lose(100_000),
        says=None,
        loses=True,
    ),
    KIND.fault(
        "its time jumps by a day", lambda simulated: simulated.jump(86_400 * 10**9), says=None
    ),
)
