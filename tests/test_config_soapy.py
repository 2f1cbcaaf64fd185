"""What the configuration of a SoapySDR receiver refuses."""

import pytest
from pydantic import ValidationError

from heimdall_edge.config_receivers import Receiver

GOOD = {"id": "rx", "kind": "soapy", "center_freq_hz": 1e8, "sample_rate_hz": 1e6}


@pytest.mark.parametrize(
    "table",
    [
        {"device": "driver=lime"},
        {"device": "serial=1, driver = lime"},
        {"device": "driver=nullsink"},
        {"device": "driver=remote,remote:driver=lime"},
    ],
)
def test_a_device_is_named_by_its_driver(table):
    assert Receiver(**GOOD, gain_db=20, soapy=table).soapy.device == table["device"]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("driver=null", "driver=null gives no samples"),
        ("x=1, driver = null ,y=2", "driver=null gives no samples"),
        ("serial=1", "pattern"),
        ("remote:driver=lime", "pattern"),
    ],
)
def test_a_device_without_a_driver_is_refused(device, message):
    with pytest.raises(ValidationError, match=message):
        Receiver(**GOOD, gain_db=20, soapy={"device": device})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs gain_db, or agc = true"),
        ({"gain_db": 10, "gains": {"LNA": 1}}, "goes neither with gain_db nor with agc"),
        ({"agc": True, "gains": {"LNA": 1}}, "goes neither with gain_db nor with agc"),
        ({"agc": True, "gain_db": 10}, "agc = true does not go with gain_db"),
    ],
)
def test_a_gain_is_said_once(settings, message):
    table = {"device": "driver=lime", "gains": settings.pop("gains", {})}
    with pytest.raises(ValidationError, match=message):
        Receiver(**GOOD, **settings, soapy=table)


def test_gains_of_elements_are_a_gain():
    table = {"device": "driver=lime", "gains": {"LNA": 20, "PGA": 3}}
    assert Receiver(**GOOD, soapy=table).soapy.gains == {"LNA": 20.0, "PGA": 3.0}
