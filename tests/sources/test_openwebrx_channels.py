from __future__ import annotations

import math

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.sources.openwebrx_channels import MeterTuning, assign, bins_of, is_inside
from heimdall_edge.sources.openwebrx_rows import Band, SpectrumRow, read_row
from tests.emulators.openwebrx_server import OpenWebRxServer

BAND = Band(145.0e6, 250e3, 512, "none")
COMPRESSED = Band(145.0e6, 250e3, 512, "adpcm")


def channel(name: str, offset_hz: float, bandwidth_hz: float = 12.5e3) -> Channel:
    return Channel(name=name, frequency_hz=145.0e6 + offset_hz, bandwidth_hz=bandwidth_hz)


A, B, FAR = channel("a", 12.5e3), channel("b", -50e3), channel("far", 1e6)


def test_plain_rows_serve_every_channel_and_cost_the_host_no_demodulator():
    assignment = assign(BAND, [A, B, FAR])
    assert set(assignment.by_rows) == {"a", "b"}
    assert assignment.by_meter is None
    assert assignment.outside == ("far",)


def test_compressed_rows_leave_the_first_channel_to_the_meter():
    assignment = assign(COMPRESSED, [FAR, A, B])
    assert set(assignment.by_rows) == {"b"}
    assert assignment.by_meter == MeterTuning("a", 12.5e3, 5_880.0, 12_000)


def test_without_a_meter_compressed_rows_are_better_than_nothing():
    assignment = assign(COMPRESSED, [A, B], meter_works=False)
    assert set(assignment.by_rows) == {"a", "b"}
    assert assignment.by_meter is None


def test_a_channel_narrower_than_four_bins_needs_the_meter():
    wide_bins = Band(145.0e6, 2.4e6, 512, "none")
    assignment = assign(wide_bins, [A, B])
    assert assignment.by_rows == {}
    assert assignment.by_meter is not None
    assert assignment.by_meter.channel == "a"
    assert assignment.too_narrow == ("b",)


def test_a_wide_channel_is_filtered_as_wide_as_the_server_can_and_no_wider_one_is_tuned():
    tuned = assign(COMPRESSED, [channel("w", 0, 25e3)]).by_meter
    assert tuned == MeterTuning("w", 0.0, 12_500.0, 48_000)
    assert assign(COMPRESSED, [channel("w", 0, 100e3)]).by_meter is None


def test_the_outermost_hundredth_of_a_band_is_not_used():
    assert is_inside(BAND, channel("c", 116e3).spec)
    assert not is_inside(BAND, channel("c", 117e3).spec)
    assert not is_inside(Band(), A.spec)


def reading_of(server: OpenWebRxServer, watched: Channel, band: Band):
    row = server._packed(server.row(0.0, 0.1))
    return bins_of(band, watched.spec).read(read_row(b"\x01" + row, band))


def on_air(server: OpenWebRxServer, frequency_hz: float, level_dbfs: float, width_hz: float):
    carrier = server.key(frequency_hz, level_dbfs, width_hz=width_hz)
    carrier.history = [(-1.0, 10 ** (level_dbfs / 10))]


@pytest.mark.parametrize("size", [512, 4096])
@pytest.mark.parametrize("width_hz", [0.0, 8e3])
@pytest.mark.parametrize("offset_hz", [12.5e3, 12.7e3, -77.7e3])
def test_a_plain_row_gives_the_level_within_a_decibel(size, width_hz, offset_hz):
    server, watched = OpenWebRxServer(fft_size=size), channel("c", offset_hz)
    band = Band(145.0e6, 250e3, size, "none")
    noise = reading_of(server, watched, band)
    assert noise.level_db == pytest.approx(-131 + 10 * math.log10(12.5e3), abs=0.7)
    assert -1.6 < noise.quiet_db - noise.level_db < 0.2
    on_air(server, watched.frequency_hz, -60.0, width_hz)
    reading = reading_of(server, watched, band)
    assert reading.level_db == pytest.approx(-60, abs=1.0)
    assert not reading.is_bound


def test_a_signal_beside_the_channel_is_not_its_level():
    server = OpenWebRxServer()
    on_air(server, A.frequency_hz + 12.5e3, -60.0, 8e3)
    assert reading_of(server, A, BAND).level_db < -88


def compressed_readings(width_hz: float, snr_db: float):
    """Of a carrier or voice on channel a, several rows."""
    server = OpenWebRxServer(compression="adpcm")
    on_air(server, A.frequency_hz, -90.0 + snr_db, width_hz)
    return [reading_of(server, A, COMPRESSED) for _ in range(40)]


@pytest.mark.parametrize("snr_db", [10, 30, 50])
def test_a_compressed_row_is_near_for_what_fills_the_channel(snr_db):
    readings = compressed_readings(8e3, snr_db)
    error_db = np.mean([r.level_db for r in readings]) - (snr_db - 90)
    assert -1.5 < error_db < 0.6
    assert np.mean([r.is_bound for r in readings]) < 0.7


@pytest.mark.parametrize("width_hz", [0.0, 3e3])
@pytest.mark.parametrize("snr_db", [10, 30, 50])
def test_a_compressed_row_is_known_to_be_only_a_bound_for_what_is_narrow(width_hz, snr_db):
    readings = compressed_readings(width_hz, snr_db)
    assert np.mean([r.level_db for r in readings]) < snr_db - 90 - 1.0
    assert np.mean([r.is_bound for r in readings]) > 0.8


def test_an_absurdly_low_row_stays_a_finite_level():
    row = SpectrumRow(np.full(512, -300.0, np.float32))
    assert math.isfinite(bins_of(BAND, A.spec).read(row).level_db)
