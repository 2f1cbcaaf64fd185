from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.signal.measure import observation_id
from heimdall_edge.sources.channel_levels import ChannelLevels, Moment, Reading
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    Listening,
    Observation,
    Place,
    ReceiverInfo,
)

START = 1_790_000_000 * 10**9
RECEIVER = ReceiverInfo("station", "rx", Place(45.0, 7.0))
CHANNEL = Channel(name="c", frequency_hz=145e6)
CLOCK = ClockState(ClockSource.NTP, sigma_s=0.3)


class Series:
    def __init__(self, **settings) -> None:
        settings = {"channel": CHANNEL, "receiver": RECEIVER, **settings}
        self.levels = ChannelLevels(**settings)
        self.n, self.said = 0, []

    def hear(self, n: int, level_db: float, **reading) -> Series:
        for _ in range(n):
            self.n += 1
            moment = Moment(START + self.n * 10**8, self.n * 0.1, CLOCK)
            self.said += self.levels.hear(Reading(level_db, **reading), moment)
        return self

    @property
    def observations(self) -> list[Observation]:
        return [s for s in self.said if isinstance(s, Observation)]

    @property
    def listening(self) -> list[Listening]:
        return [s for s in self.said if isinstance(s, Listening)]


def test_a_transmission_becomes_an_observation_with_all_that_is_known_and_no_more():
    series = Series().hear(100, -90.0).hear(10, -70.0).hear(5, -90.0)
    (heard,) = series.observations
    assert heard.observation_id == observation_id(
        station="station", receiver_id="rx", channel="c", start_utc_ns=heard.start_utc_ns
    )
    assert heard.receiver is RECEIVER
    assert (heard.channel, heard.frequency_hz) == ("c", 145e6)
    assert heard.start_utc_ns == START + 100 * 10**8
    assert heard.duration_s == pytest.approx(1.0)
    assert heard.level_dbfs == pytest.approx(-70, abs=0.1)
    assert heard.noise_floor_dbfs == pytest.approx(-90, abs=0.2)
    assert heard.snr_db == pytest.approx(20, abs=0.3)
    assert heard.clock == CLOCK
    assert (heard.gain_db, heard.level_dbm, heard.bandwidth_hz, heard.mel) == (None,) * 4
    assert heard.detected_monotonic_s == pytest.approx(11.3)


def test_listening_is_told_without_gap_or_overlap_and_after_what_was_heard():
    series = Series().hear(100, -90.0).hear(10, -70.0).hear(50, -90.0)
    told = series.listening
    assert told[0].start_utc_ns == START + 10**8
    for before, after in pairwise(told):
        assert before.end_utc_ns == after.start_utc_ns
    assert told[-1].end_utc_ns == START + 160 * 10**8
    assert told[-1].limit_dbfs == {"c": pytest.approx(-82, abs=0.2)}
    (heard,) = series.observations
    at = series.said.index(heard)
    assert all(s.end_utc_ns <= heard.start_utc_ns for s in series.said[:at])


def test_of_what_was_too_short_to_report_no_silence_is_claimed():
    series = Series(min_duration_s=0.3).hear(100, -90.0).hear(2, -70.0).hear(20, -90.0)
    assert series.observations == []
    told = [(s.start_utc_ns - START, s.end_utc_ns - START) for s in series.listening]
    assert told[-1][1] == 122 * 10**8
    assert not any(start < 102 * 10**8 and end > 100 * 10**8 for start, end in told)
    assert series.listening[-1].least_duration_s == pytest.approx(0.55)


def test_a_clock_that_is_set_back_does_not_silence_what_listens():
    series = Series().hear(100, -90.0)
    series.n -= 60
    n_said = len(series.said)
    series.hear(3, -90.0)
    after = series.said[n_said:]
    assert [s.start_utc_ns for s in after] == [START + 41 * 10**8, START + 42 * 10**8]


def test_silence_that_does_not_count_has_no_limit():
    series = Series(silence_counts=False).hear(100, -90.0)
    assert series.listening[-1].limit_dbfs == {"c": math.inf}


def test_the_feed_s_own_least_duration_holds_where_it_is_the_longer():
    assert Series(min_duration_s=0.5).hear(100, -90).hear(4, -70).hear(9, -90).observations == []
    assert Series(min_duration_s=0.3).hear(100, -90).hear(4, -70).hear(9, -90).observations


def test_a_level_that_is_mostly_a_lower_bound_is_not_given():
    series = Series().hear(100, -90).hear(1, -70).hear(9, -70, is_bound=True).hear(5, -90)
    (heard,) = series.observations
    assert heard.heard
    assert (heard.level_dbfs, heard.snr_db, heard.mel) == (None, None, None)
    series = Series().hear(100, -90).hear(4, -70).hear(6, -70, is_bound=True).hear(5, -90)
    assert series.observations[0].level_dbfs == pytest.approx(-70, abs=0.1)


def spectrum(n_bins: int, strong: int) -> np.ndarray:
    """Noise of -90 dB in all, and -70 dB in one bin."""
    power = np.full(n_bins, 1e-9 / n_bins, np.float32)
    power[strong] += 1e-7
    return power


@pytest.mark.parametrize(("n_bins", "n_rows"), [(8, 8), (26, 26), (64, 64), (200, 64)])
def test_rows_become_a_coarse_spectrogram_over_the_floor(n_bins, n_rows):
    strong = n_bins * 3 // 4
    series = Series().hear(100, -90).hear(10, -70, power=spectrum(n_bins, strong)).hear(5, -90)
    mel = series.observations[0].mel.db_over_floor
    assert mel.shape == (n_rows, 10)
    assert mel.dtype == np.float32
    assert not mel.flags.writeable
    row = strong * n_rows // n_bins
    assert mel[row].min() > 20
    assert np.abs(np.delete(mel, row, axis=0)).max() < 0.5


def test_too_few_bins_make_no_spectrogram():
    series = Series().hear(100, -90).hear(10, -70, power=spectrum(7, 3)).hear(5, -90)
    assert series.observations[0].mel is None


def test_flush_gives_what_is_open_and_before_any_reading_nothing():
    assert Series().levels.flush() == []
    series = Series().hear(100, -90).hear(10, -70)
    (heard,) = series.levels.flush()
    assert heard.duration_s == pytest.approx(1.0)


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="level nan"):
        Series().hear(1, math.nan)
