"""What is said to an rtl_tcp server before the first sample is used."""

import pytest

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.rtl_tcp_protocol import Dongle, Operation
from heimdall_edge.sources.rtl_tcp_setup import Setup

R820T, OTHER = Dongle(5, 29), Dongle(5, 28)


def setup(dongle=R820T, *, gain_db=28.4, agc=False, **table):
    receiver = Receiver(
        id="rx",
        kind="rtl_tcp",
        center_freq_hz=446e6,
        sample_rate_hz=2.4e6,
        gain_db=None if agc else gain_db,
        agc=agc,
        rtl_tcp={"host": "sdr.example", **table},
    )
    return Setup.of(receiver, dongle, sample_rate_hz=2_400_000, center_freq_hz=446_000_000)


def test_the_least_is_rate_centre_correction_and_gain_in_this_order():
    assert setup().words == (
        (Operation.SAMPLE_RATE, 2_400_000),
        (Operation.CENTER_FREQ, 446_000_000),
        (Operation.PPM, 0),
        (Operation.DIGITAL_AGC, 0),
        (Operation.GAIN_MODE, 1),
        (Operation.TUNER_GAIN, 280),
    )
    assert setup().gain_db == 28.0
    assert setup().data[:10].hex() == "0200249f00011a956b80"


def test_an_automatic_gain_is_not_set_and_not_claimed():
    automatic = setup(agc=True)
    assert automatic.words[-1] == (Operation.GAIN_MODE, 0)
    assert automatic.gain_db is None


def test_steps_that_are_not_known_get_what_was_asked_for_and_claim_nothing():
    unknown = setup(OTHER)
    assert unknown.words[-1] == (Operation.TUNER_GAIN, 284)
    assert unknown.gain_db is None


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"direct_sampling": "i"}, (Operation.DIRECT_SAMPLING, 1)),
        ({"direct_sampling": "q"}, (Operation.DIRECT_SAMPLING, 2)),
        ({"offset_tuning": True}, (Operation.OFFSET_TUNING, 1)),
        ({"bandwidth_hz": 1.5e6}, (Operation.BANDWIDTH, 1_500_000)),
        ({"bias_tee": True}, (Operation.BIAS_TEE, 1)),
        ({"bias_tee": False}, (Operation.BIAS_TEE, 0)),
    ],
)
def test_what_forks_differ_in_goes_only_where_it_is_named(table, word):
    assert setup(**table).words == (*setup().words, word)
