"""Setting a device, where devices differ from each other: scripted ones, without a library."""

import math
from dataclasses import dataclass, field

import pytest

from heimdall_edge.drivers.soapy_calls import Span
from heimdall_edge.drivers.soapy_setup import RefusedError, frequency_in_force, set_up

WISHES = {
    "format": "native",
    "sample_rate_hz": 2e6,
    "settings": {},
    "channels": [
        {
            "channel": 0,
            "center_freq_hz": 100e6,
            "antenna": None,
            "gain_db": 20.0,
            "gains": {},
            "agc": False,
            "bandwidth_hz": None,
            "ppm": 0.0,
        }
    ],
}


@dataclass
class PlainDevice:
    """A device with next to nothing: no AGC, no filter, no correction, no named settings."""

    native: tuple[str, float] = ("CS16", 32768.0)
    offered: tuple[str, ...] = ("CS16", "CF32")
    made_rate_hz: float | None = None
    tuning_error_hz: float = 0.0
    has_agc_mode: bool = False
    gain_span: Span = Span(0.0, 0.0)  # noqa: RUF009  (frozen)
    said_gain_db: float = 19.5
    log: list[tuple[str, object]] = field(default_factory=list)

    def hardware_key(self):
        return "PLAIN"

    def hardware_info(self):
        return {}

    def n_channels(self):
        return 1

    def formats(self, channel):
        return list(self.offered)

    def native_format(self, channel):
        return self.native

    def antennas(self, channel):
        return []

    def sample_rates_hz(self, channel):
        return []

    def set_sample_rate(self, channel, rate_hz):
        self.made_rate_hz = self.made_rate_hz or rate_hz

    def sample_rate_hz(self, channel):
        return self.made_rate_hz

    def frequencies_hz(self, channel):
        return []

    def set_frequency(self, channel, frequency_hz):
        self.log.append(("frequency", frequency_hz))

    def frequency_hz(self, channel):
        tuned = [value for what, value in self.log if what == "frequency"]
        return tuned[-1] + self.tuning_error_hz

    def has_ppm(self, channel):
        return False

    def bandwidths_hz(self, channel):
        return []

    def has_agc(self, channel):
        return self.has_agc_mode

    def set_agc(self, channel, *, automatic):
        self.log.append(("agc", automatic))

    def gain_elements(self, channel):
        return []

    def gains_db(self, channel):
        return self.gain_span

    def set_gain(self, channel, gain_db):
        self.log.append(("gain", gain_db))

    def gain_db(self, channel):
        return self.said_gain_db

    def setting_keys(self):
        return []

    def channel_setting_keys(self, channel):
        return []


def wishes(channel=None, **changes):
    return {**WISHES, **changes, "channels": [{**WISHES["channels"][0], **(channel or {})}]}


def test_what_is_in_force_is_told():
    said = set_up(PlainDevice(), wishes())
    assert said == {
        "hardware": "PLAIN",
        "serial": "",
        "format": "CS16",
        "full_scale": 32768.0,
        "sample_rate_hz": 2e6,
        "channels": [
            {"channel": 0, "center_freq_hz": 100e6, "frequencies_hz": [], "gain_db": 19.5}
        ],
    }


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({"agc": True}, "has no automatic gain: set gain_db"),
        ({"ppm": 3.0}, "cannot correct its crystal: leave ppm out"),
        ({"bandwidth_hz": 1e5}, "has no filter to set: leave bandwidth_hz out"),
        ({"antenna": "RX"}, "has no antenna 'RX': expected one of nothing"),
        ({"gains": {"LNA": 1}}, "has no gains 'LNA': expected one of nothing"),
    ],
)
def test_what_a_plain_device_cannot_do_is_refused(channel, message):
    with pytest.raises(RefusedError, match=message):
        set_up(PlainDevice(), wishes(channel))


@pytest.mark.parametrize(
    ("native", "offered", "wanted", "expected"),
    [
        (("CS12", 2048.0), ("CS12", "CS16", "CF32"), "native", ("CS16", 32768.0)),
        (("CF64", 1.0), ("CF64", "CF32"), "native", ("CF32", 1.0)),
        (("CS16", 2048.0), ("CS16", "CF32"), "native", ("CS16", 2048.0)),
        (("CS16", 2048.0), ("CS16", "CF32"), "CF32", ("CF32", 1.0)),
        (("CS8", 128.0), ("CS8", "CS16"), "CS16", ("CS16", 32768.0)),
        (("CS16", 0.0), ("CS16",), "native", ("CS16", 32768.0)),
        (("CS16", 1e9), ("CS16",), "native", ("CS16", 32768.0)),
        (("CS16", float("nan")), ("CS16",), "native", ("CS16", 32768.0)),
    ],
)
def test_the_format_is_one_that_we_take_with_its_full_scale(native, offered, wanted, expected):
    said = set_up(PlainDevice(native=native, offered=offered), wishes(format=wanted))
    assert (said["format"], said["full_scale"]) == expected


def test_a_format_that_the_device_lacks_is_refused_with_those_it_has():
    with pytest.raises(RefusedError, match="has no format 'CU8': expected one of CS16, CF32"):
        set_up(PlainDevice(), wishes(format="CU8"))
    with pytest.raises(RefusedError, match="has no format 'CS12': expected one of nothing"):
        set_up(PlainDevice(native=("CS12", 2048.0), offered=("CS12",)), wishes())


def test_a_rate_that_the_device_makes_another_of_is_refused_with_what_it_makes():
    with pytest.raises(RefusedError, match="makes 1920000 of sample_rate_hz = 2000000"):
        set_up(PlainDevice(made_rate_hz=1.92e6), wishes())


def test_a_rate_that_is_rounded_is_the_rate_in_force():
    assert set_up(PlainDevice(made_rate_hz=2_000_000.05), wishes())["sample_rate_hz"] == 2000000.05


def test_a_device_that_is_off_by_more_than_a_hertz_is_believed():
    assert frequency_in_force(tuned_device(0.4), 0, 100e6) == 100e6
    assert frequency_in_force(tuned_device(-250.0), 0, 100e6) == 99_999_750.0
    assert frequency_in_force(tuned_device(math.nan), 0, 100e6) == 100e6


def tuned_device(error_hz):
    device = PlainDevice(tuning_error_hz=error_hz)
    device.set_frequency(0, 100e6)
    return device


@pytest.mark.parametrize(
    ("span", "expected"),
    [(Span(0, 0), 20.0), (Span(0, 15), 15.0), (Span(25, 40), 25.0), (Span(0, 40), 20.0)],
)
def test_a_gain_is_held_within_the_range_that_a_device_names(span, expected):
    device = PlainDevice(gain_span=span)
    set_up(device, wishes())
    assert ("gain", expected) in device.log


def test_a_device_that_does_not_know_its_gain_is_taken_to_have_what_was_wanted():
    (channel,) = set_up(PlainDevice(said_gain_db=math.nan), wishes())["channels"]
    assert channel["gain_db"] == 20.0


def test_an_automatic_gain_is_switched_off_before_a_gain_is_set():
    device = PlainDevice(has_agc_mode=True)
    set_up(device, wishes())
    assert device.log[-2:] == [("agc", False), ("gain", 20.0)]
