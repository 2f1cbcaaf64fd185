"""What one receiver's blocks say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.errors import BurstError
from heimdall_edge.survey.meter import Meter
from heimdall_edge.types import FrequencyError, frozen_array

from .receivers import CENTER_HZ, CHANNELS, RECEIVER, blocks, metered, samples


@pytest.mark.parametrize("datatype", ["cu8", "ci16_le", "cf32_le"])
def test_noise_is_measured_in_the_band_and_in_the_channel(datatype):
    measured = metered(blocks(samples(6.0, noise_dbfs=-35.0), datatype=datatype))
    assert measured.noise_dbfs == pytest.approx(-35.0, abs=0.3)
    for channel in measured.channels:
        # 12.5 of 250 kHz are 13 dB; the channel's filter is a little wider
        assert channel.noise_floor_dbfs == pytest.approx(-48.0, abs=1.0)
        assert channel.occupancy == 0.0
        assert channel.n_bursts == 0
        assert channel.strongest_snr_db is None


def test_occupancy_is_the_share_of_time_over_the_threshold():
    measured = metered(blocks(samples(8.0, (2.0, 4.0, -50e3, -25.0), (5.0, 6.0, -50e3, -25.0))))
    pmr1, pmr8 = measured.channels
    assert pmr1.occupancy == pytest.approx(3 / 8, abs=0.01)
    assert pmr1.n_bursts == 2
    assert pmr1.strongest_snr_db == pytest.approx(28.0, abs=1.5)
    assert pmr8.occupancy == 0.0


def test_a_recording_too_short_for_a_floor_still_tells_occupancy():
    measured = metered(blocks(samples(0.04, (0.02, 0.03, -50e3, -20.0)), n_samples=2_500))
    assert measured.channels[0].occupancy == pytest.approx(0.25, abs=0.1)


def test_quantisation_noise_is_that_of_the_format():
    silence = samples(0.2, noise_dbfs=-300.0)
    assert metered(blocks(silence)).quantisation_dbfs == pytest.approx(-49.9, abs=0.1)
    sixteen = metered(blocks(silence, datatype="ci16_le")).quantisation_dbfs
    assert sixteen == pytest.approx(-98.1, abs=0.1)
    assert metered(blocks(silence, datatype="cf32_le")).quantisation_dbfs is None


def test_the_spike_at_the_centre_is_measured():
    measured = metered(blocks(samples(2.0, dc=0.02)))
    assert measured.dc_dbfs == pytest.approx(20 * np.log10(0.02), abs=0.2)
    assert measured.dc_over_noise_db > 20
    assert metered(blocks(samples(2.0), datatype="cf32_le")).dc_over_noise_db < 3


def test_clipping_and_the_peak_are_those_of_the_converter():
    measured = metered(blocks(samples(1.0, (0.0, 0.1, 20e3, 3.0))))
    assert measured.count.clipped_fraction == pytest.approx(0.1 * 0.75, abs=0.03)
    assert measured.peak_dbfs == 0.0
    quiet = metered(blocks(samples(1.0, (0.0, 1.0, 20e3, -20.0), noise_dbfs=-60)))
    assert quiet.count.clipped == 0
    assert quiet.peak_dbfs == pytest.approx(-20.0, abs=0.5)


def test_what_is_missing_is_counted():
    made = blocks(samples(1.0))
    made[3] = replace(made[3], lost_samples=100, dropped_samples=20, discarded_samples=3)
    measured = metered(made)
    assert measured.count.received == 250_000
    assert (measured.count.lost, measured.count.dropped, measured.discarded) == (100, 20, 3)
    assert measured.duration_s == pytest.approx(1.0)


def test_the_rate_is_measured_by_the_hosts_clock():
    made = blocks(samples(3.0))
    assert metered(made).measured_rate_hz == pytest.approx(250e3, rel=1e-6)
    slow = metered(made, late_ns=round(16_384 / 250e3 * 1e9 * 0.02)).measured_rate_hz
    assert slow == pytest.approx(250e3 / 1.02, rel=1e-3)
    assert metered(blocks(samples(0.5))).measured_rate_hz is None, "too short"
    assert metered(made[:1]).measured_rate_hz is None


def test_what_the_blocks_know_better_is_taken():
    error = FrequencyError(1.5, 0.2)
    made = blocks(samples(0.2), gain_db=28.0, frequency_error=error)
    measured = metered(made, gain_db=30.0)
    assert measured.gain_db == 28.0
    assert measured.frequency_error is error
    assert metered(blocks(samples(0.2)), gain_db=30.0).gain_db == 30.0


def test_channels_out_of_reach_are_named_and_the_rest_is_measured():
    far = Channel(name="far", frequency_hz=145e6)
    measured = metered(blocks(samples(0.5)), channels=(*CHANNELS, far))
    assert measured.out_of_band == ("far",)
    assert [c.channel.name for c in measured.channels] == ["pmr1", "pmr8"]
    none = metered(blocks(samples(0.5)), channels=(far,))
    assert none.channels == ()
    assert none.noise_dbfs == pytest.approx(-40.0, abs=0.5)


def test_a_meter_takes_one_centre_only():
    made = blocks(samples(0.2))
    meter = Meter(made[0], receiver=RECEIVER, channels=CHANNELS)
    assert meter.accepts(made[1])
    assert not meter.accepts(replace(made[1], center_freq_hz=CENTER_HZ + 1e6))
    assert not meter.accepts(replace(made[1], datatype="ci8"))
    assert not meter.accepts(replace(made[1], sample_rate_hz=1e6))


def test_samples_without_sense_are_refused():
    made = blocks(samples(0.2), datatype="cf32_le")
    bad = made[1].samples.copy()
    bad[5] = np.nan
    meter = Meter(made[0], receiver=RECEIVER, channels=CHANNELS)
    with pytest.raises(BurstError):
        meter.feed(replace(made[1], samples=frozen_array(bad)), arrived_monotonic_ns=0)
