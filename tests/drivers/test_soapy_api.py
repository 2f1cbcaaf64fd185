"""The binding, on the real library and a simulated device, in this very process."""

# ruff: noqa: F401, F811  (fixtures come by import)
import ctypes

import pytest

from heimdall_edge.drivers import soapy_calls
from heimdall_edge.drivers.soapy_api import Library
from heimdall_edge.drivers.soapy_calls import SoapyError, Span
from heimdall_edge.drivers.soapy_stream import HAS_TIME, OVERFLOW, TIMEOUT, Read

from ..sources.soapy_fixtures import device_of, module_folder

SAMPLES = 4096


@pytest.fixture
def opened(device_of):
    """Settings of the simulated device → itself, and the open device."""
    made = []

    def make(**settings):
        simulated = device_of(**settings)
        made.append(Library().open(simulated.args))
        return simulated, made[-1]

    yield make
    for device in made:
        device.close()
        device.close()


def test_devices_are_found_with_what_opens_them(module_folder):
    (found,) = Library().enumerate("driver=heimdallsim")
    assert (found["driver"], found["serial"]) == ("heimdallsim", "SIM0001")
    assert Library().enumerate("driver=nosuch") == []


def test_a_device_that_is_not_there_is_an_error_in_the_librarys_words(module_folder):
    with pytest.raises(SoapyError, match="no match"):
        Library().open("driver=nosuch")


def test_a_device_says_what_it_is_and_what_it_can_be_set_to(opened):
    _, device = opened(format="CS16", full_scale=2048)
    assert device.hardware_key() == "HEIMDALLSIM"
    assert device.hardware_info() == {"serial": "SIM0001"}
    assert device.n_channels() == 2
    assert device.formats(0) == ["CU8", "CS8", "CS16", "CF32"]
    assert device.native_format(1) == ("CS16", 2048.0)
    assert device.antennas(0) == ["RX", "LNAH"]
    assert device.sample_rates_hz(0) == [Span(250e3, 300e3), Span(900e3, 10e6)]
    assert device.frequencies_hz(0) == [Span(1e6, 6e9)]
    assert device.bandwidths_hz(0) == [Span(200e3, 8e6)]
    assert device.gain_elements(0) == ["LNA", "VGA"]
    assert device.gains_db(0) == Span(0.0, 50.0)
    assert device.element_gains_db(0, "VGA") == Span(0.0, 20.0)
    assert device.setting_keys() == ["biastee", "dither"]
    assert device.channel_setting_keys(0) == ["notch"]
    assert device.has_agc(0)
    assert device.has_ppm(0)


def test_what_is_set_is_in_force(opened):
    simulated, device = opened()
    device.set_sample_rate(0, 2.4e6)
    device.set_frequency(0, 434e6)
    device.set_element_gain(0, "LNA", 11.0)
    device.set_agc(0, automatic=False)
    device.write_setting("biastee", "true")
    device.write_channel_setting(1, "notch", "fm")
    assert (device.sample_rate_hz(0), device.frequency_hz(0)) == (2.4e6, 434e6)
    assert device.gain_db(0) == pytest.approx(12.0)
    assert "channel setting notch 1 fm" in simulated.made


def test_a_call_that_fails_says_which_and_why_and_the_next_one_is_its_own(opened):
    _, device = opened()
    with pytest.raises(SoapyError, match=r"setAntenna: array::at"):
        device.set_antenna(9, "RX")
    with pytest.raises(SoapyError, match=r"setupStream: heimdallsim: no format CF64"):
        device.stream("CF64", [0])
    assert device.n_channels() == 2


def read_once(device, channels, *, timeout_s=1.0):
    stream = device.stream("CS16", channels)
    buffers = [ctypes.create_string_buffer(4 * SAMPLES) for _ in channels]
    stream.start()
    addresses = [ctypes.addressof(buffer) for buffer in buffers]
    found = stream.read(addresses, SAMPLES, timeout_s=timeout_s)
    stream.close()
    stream.close()
    return found, [buffer.raw for buffer in buffers]


def test_a_stream_gives_each_channel_its_samples_and_their_time(opened):
    _, device = opened(tone1=100.1e6, noise=0)
    found, (left, right) = read_once(device, [0, 1])
    assert found == Read(SAMPLES, 0, HAS_TIME, 0)
    assert left != right
    assert any(left)


def test_a_device_without_time_gives_none(opened):
    _, device = opened(time=0)
    assert read_once(device, [0])[0].time_ns is None


def test_an_overflow_is_a_status(opened):
    simulated, device = opened()
    simulated.overflow(5)
    assert read_once(device, [0])[0] == Read(0, OVERFLOW)


def test_a_device_that_gives_nothing_is_waited_for_no_longer_than_wanted(opened):
    simulated, device = opened()
    simulated.stall()
    assert read_once(device, [0], timeout_s=0.01)[0] == Read(0, TIMEOUT)


def test_a_host_without_soapysdr_is_told_what_to_install(monkeypatch):
    def absent(_name):
        raise OSError("no such file")

    monkeypatch.setattr(soapy_calls.c, "CDLL", absent)
    with pytest.raises(SoapyError, match=r"apt-get install libsoapysdr0\.8"):
        Library()


def test_another_interface_is_refused(monkeypatch, module_folder):
    monkeypatch.setattr(soapy_calls, "_load", lambda: soapy_calls.c.CDLL("libSoapySDR.so.0.8"))
    monkeypatch.setattr(soapy_calls, "ABI", "0.9")
    with pytest.raises(SoapyError, match=r"interface 0\.8.*; expected 0\.9"):
        Library()
