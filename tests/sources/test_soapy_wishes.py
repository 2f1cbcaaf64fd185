"""What the driver is told, from the receivers of one device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.config_receivers import Scan
from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.soapy_wishes import arguments_of, block_samples_of, wishes_of

from .soapy_fixtures import receiver_of


def test_a_receivers_settings_become_the_drivers():
    receiver = receiver_of(
        "driver=lime", channel=1, antenna="LNAH", gains={"LNA": 12}, settings={"a": "b"}, ppm=-3
    )
    assert wishes_of([receiver]) == {
        "device": "driver=lime",
        "format": "native",
        "sample_rate_hz": 1e6,
        "block_samples": 65_536,
        "settings": {"a": "b"},
        "channels": [
            {
                "channel": 1,
                "center_freq_hz": 100e6,
                "antenna": "LNAH",
                "gain_db": None,
                "gains": {"LNA": 12.0},
                "agc": False,
                "bandwidth_hz": None,
                "ppm": -3.0,
            }
        ],
    }


def test_a_scan_begins_at_its_first_centre():
    receiver = receiver_of("driver=lime", scan=Scan(centers_hz=(1e8, 2e8)))
    assert wishes_of([receiver])["channels"][0]["center_freq_hz"] == 1e8


@pytest.mark.parametrize("args", ["driver=NULL", "driver=null,x=1", "driver=,x=1"])
def test_a_driver_that_is_none_is_refused(args):
    receiver = receiver_of("driver=lime")
    table = receiver.soapy.model_copy(update={"device": args})
    with pytest.raises(SourceDataError, match=r"expected driver=.*SoapySDRUtil --find"):
        wishes_of([receiver.model_copy(update={"soapy": table})])


def test_two_channels_may_have_settings_of_their_own():
    receivers = [
        receiver_of("driver=lime", name="a", settings={"x": "1"}),
        receiver_of("driver=lime", name="b", channel=1, settings={"x": "1", "y": "2"}),
    ]
    wishes = wishes_of(receivers)
    assert wishes["settings"] == {"x": "1", "y": "2"}
    assert [channel["channel"] for channel in wishes["channels"]] == [0, 1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"channel": 0}, "receivers a and b both want channel 0 of SoapySDR driver=lime"),
        ({"channel": 1, "sample_rate_hz": 2e6}, "expected the same sample_rate_hz, found"),
        ({"channel": 1, "format": "CF32"}, "expected the same format, found native and CF32"),
        (
            {"channel": 1, "settings": {"x": "2"}},
            "b: setting x = '2', but another receiver of SoapySDR driver=lime wants '1'",
        ),
    ],
)
def test_what_one_device_cannot_do_at_once_is_refused(other, message):
    receivers = [
        receiver_of("driver=lime", name="a", settings={"x": "1"}),
        receiver_of("driver=lime", name="b", **other),
    ]
    with pytest.raises(SourceDataError, match=message):
        wishes_of(receivers)


@given(st.text())
def test_any_text_has_arguments(text):
    assert all(isinstance(value, str) for value in arguments_of(text).values())


def test_arguments_are_read_as_soapysdr_reads_them():
    args = " driver = remote ,remote=tcp://[::1]:55132, empty=,flag, x=a=b,"
    assert arguments_of(args) == {
        "driver": "remote",
        "remote": "tcp://[::1]:55132",
        "empty": "",
        "flag": "",
        "x": "a=b",
    }


@pytest.mark.parametrize(
    ("rate_hz", "n_samples"), [(48e3, 2_400), (250e3, 12_500), (1e6, 65_536), (2e7, 65_536)]
)
def test_slow_receivers_give_blocks_of_a_twentieth_of_a_second(rate_hz, n_samples):
    assert block_samples_of(rate_hz) == n_samples
