"""The power in channels."""

from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.survey.channels import ChannelLevels

from .receivers import CENTER_HZ, CHANNELS, RATE_HZ

N_FFT = 1_024


def levels(*channels, has_spike=False):
    return ChannelLevels(
        channels,
        n_fft=N_FFT,
        sample_rate_hz=RATE_HZ,
        center_freq_hz=CENTER_HZ,
        has_spike=has_spike,
    )


def occupancies(of, floor_dbfs):
    floors = dict.fromkeys(("pmr1", "pmr8", "mid"), floor_dbfs)
    return [m.occupancy for m in of.measures(floors_dbfs=floors, observations=[])]


def test_flat_noise_is_shared_out_by_bandwidth():
    of = levels(*CHANNELS)
    of.feed(np.full((10, N_FFT), 1.0, np.float32))
    share_dbfs = 10 * np.log10(12_500 / RATE_HZ)
    assert occupancies(of, share_dbfs - 8.3) == [1.0, 1.0]
    assert occupancies(of, share_dbfs - 7.7) == [0.0, 0.0]


def test_each_channel_has_its_own_columns():
    density = np.full((8, N_FFT), 1e-6, np.float32)
    column = round((-50e3 / RATE_HZ + 0.5) * N_FFT)
    density[2:4, column] = 10.0
    of = levels(*CHANNELS)
    of.feed(density)
    assert occupancies(of, -60.0) == [0.25, 0.0]


def test_the_spike_at_the_centre_is_nobodys_signal():
    middle = Channel(name="mid", frequency_hz=CENTER_HZ)
    density = np.full((8, N_FFT), 1e-6, np.float32)
    density[:, N_FFT // 2] = 10.0
    spiked, plain = levels(middle, has_spike=True), levels(middle)
    spiked.feed(density)
    plain.feed(density)
    assert occupancies(spiked, -60.0) == [0.0]
    assert occupancies(plain, -60.0) == [1.0]


def test_a_channel_of_nothing_but_the_spike_has_no_power_left():
    sliver = Channel(name="mid", frequency_hz=CENTER_HZ, bandwidth_hz=500.0)
    of = levels(sliver, has_spike=True)
    of.feed(np.full((8, N_FFT), 1.0, np.float32))
    assert occupancies(of, -60.0) == [0.0]


@pytest.mark.parametrize("channels", [(), CHANNELS])
def test_nothing_fed_is_nothing_known(channels):
    measures = levels(*channels).measures(floors_dbfs={}, observations=[])
    assert [m.occupancy for m in measures] == [None] * len(channels)
