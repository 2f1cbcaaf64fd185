from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from heimdall_edge.errors import BurstError
from heimdall_edge.signal.measure import measure, observation_id, power_to_dbfs, snr_db
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.types import (
    Burst,
    ChannelSpec,
    ClockSource,
    ClockState,
    FrequencyError,
    Place,
    ReceiverInfo,
    SampleCount,
)

RATE_HZ = 16_000.0
CHANNEL = ChannelSpec("ch", 145e6, 12_500.0)
RECEIVER = ReceiverInfo("home", "rtl0", Place(45.0, 7.0, 300.0, antenna_height_m=12.0))
START_NS = 1_700_000_000_123_456_789
NOISE_DBFS = -60.0
"""Over the whole rate."""
IN_CHANNEL_DB = 10 * math.log10(12.5 / 16)


def tone_in_noise(level_dbfs: float, n: int = 8_000, offset_hz: float = 1_000.0) -> np.ndarray:
    amplitude = 10 ** (level_dbfs / 20)
    tone = amplitude * np.exp(2j * np.pi * offset_hz / RATE_HZ * np.arange(n))
    scatter = np.random.default_rng(1).standard_normal((n, 2), np.float32)
    scatter *= np.float32(10 ** (NOISE_DBFS / 20) * math.sqrt(0.5))
    return tone.astype(np.complex64) + scatter.view(np.complex64)[:, 0]


def burst(iq: np.ndarray, **changes: object) -> Burst:
    values = {
        "channel": CHANNEL,
        "iq": iq,
        "sample_rate_hz": RATE_HZ,
        "start_utc_ns": START_NS,
        "noise_power": 10 ** ((NOISE_DBFS + IN_CHANNEL_DB) / 10),
        "count": SampleCount(received=1_000, lost=3, dropped=2, clipped=50),
        "clock": ClockState(ClockSource.GNSS, 1e-7, locked=True),
    }
    return Burst(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("level_dbfs", [-45.0, -20.0, 0.0])
def test_level_floor_and_snr_of_a_tone_are_in_the_channels_bandwidth(level_dbfs: float) -> None:
    seen = measure(burst(tone_in_noise(level_dbfs)), receiver=RECEIVER)
    noise_dbfs = NOISE_DBFS + IN_CHANNEL_DB
    total_dbfs = 10 * math.log10(10 ** (level_dbfs / 10) + 10 ** (noise_dbfs / 10))
    assert seen.level_dbfs == pytest.approx(total_dbfs, abs=0.1)
    assert seen.noise_floor_dbfs == pytest.approx(noise_dbfs, abs=1e-6)
    assert seen.snr_db == pytest.approx(level_dbfs - noise_dbfs, abs=0.1)
    assert seen.frequency_offset_hz == pytest.approx(1_000, abs=5)
    assert seen.bandwidth_hz is not None
    assert seen.bandwidth_hz < 400


def test_what_lies_beside_the_channel_does_not_count() -> None:
    iq = tone_in_noise(-30.0) + tone_in_noise(-10.0, offset_hz=7_700.0)
    assert measure(burst(iq), receiver=RECEIVER).level_dbfs == pytest.approx(-30.0, abs=0.1)


def test_an_observation_says_who_when_and_in_what_state() -> None:
    seen = measure(
        burst(tone_in_noise(-20.0)), receiver=RECEIVER, gain_db=38.6, detected_monotonic_s=12.5
    )
    assert seen.receiver is RECEIVER
    assert (seen.channel, seen.frequency_hz) == ("ch", 145e6)
    assert (seen.start_utc_ns, seen.duration_s, seen.heard) == (START_NS, 0.5, True)
    assert seen.count == SampleCount(1_000, 3, 2, 50)
    assert seen.clipped_fraction == pytest.approx(0.05)
    assert seen.clock.source is ClockSource.GNSS
    assert (seen.gain_db, seen.detected_monotonic_s) == (38.6, 12.5)
    assert (seen.mel, seen.snippet) == (None, None)


def test_the_id_is_derived_from_who_where_and_when() -> None:
    seen = measure(burst(tone_in_noise(-20.0)), receiver=RECEIVER)
    text = f"home\nrtl0\nch\n{START_NS}".encode()
    assert seen.observation_id == hashlib.sha256(text).hexdigest()[:16]
    given = {"station": "home", "receiver_id": "rtl0", "channel": "ch", "start_utc_ns": START_NS}
    assert seen.observation_id == observation_id(**given)  # type: ignore[arg-type]
    other = [{"station": "a"}, {"receiver_id": "a"}, {"channel": "a"}, {"start_utc_ns": 1}]
    assert len({observation_id(**(given | o)) for o in other} | {seen.observation_id}) == 5  # type: ignore[arg-type]


def test_a_burst_that_knows_its_place_and_gain_overrides_the_configured_ones() -> None:
    moved = burst(tone_in_noise(-20.0), place=Place(46.0, 8.0, 500.0), gain_db=20.0)
    seen = measure(moved, receiver=RECEIVER, gain_db=38.6)
    assert seen.receiver.place == Place(46.0, 8.0, 500.0, antenna_height_m=12.0)
    assert seen.receiver.key == RECEIVER.key
    assert seen.gain_db == 20.0


def test_snippet_and_spectrogram_are_attached_where_wanted() -> None:
    profile = MelProfile(
        sample_rate_hz=RATE_HZ,
        n_fft=64,
        hop_length=32,
        window="hann",
        n_mels=16,
        n_frames=20,
        scale="linear",
        fmin_hz=-6_000.0,
        fmax_hz=6_000.0,
    )
    heard = burst(tone_in_noise(-20.0))
    seen = measure(heard, receiver=RECEIVER, snippet=True, mel=profile)
    assert seen.snippet is not None
    assert seen.snippet.iq is heard.iq
    assert (seen.snippet.sample_rate_hz, seen.snippet.start_utc_ns) == (RATE_HZ, START_NS)
    assert seen.mel is not None
    assert seen.mel.db_over_floor.shape == (16, 20)
    quiet = measure(burst(tone_in_noise(-200.0)), receiver=RECEIVER, mel=profile)
    assert quiet.mel is not None
    power = 10 ** (quiet.mel.db_over_floor / 10)
    assert 10 * math.log10(power.mean()) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("iq", [np.zeros(64, np.complex64), np.ones(64, np.complex64)])
def test_a_perfect_recording_gives_finite_figures(iq: np.ndarray) -> None:
    seen = measure(burst(iq, noise_power=0.0), receiver=RECEIVER)
    assert seen.noise_floor_dbfs == pytest.approx(-150.0)
    assert seen.level_dbfs is not None
    assert -150.0 <= seen.level_dbfs <= 1e-3
    assert seen.snr_db is not None
    assert -30.0 <= seen.snr_db <= 150.0


def test_noise_alone_has_no_bandwidth_and_no_offset() -> None:
    seen = measure(burst(tone_in_noise(-200.0)), receiver=RECEIVER)
    assert (seen.bandwidth_hz, seen.frequency_offset_hz) == (None, None)
    assert seen.snr_db is not None
    assert seen.snr_db < -10


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iq": np.ones(15, np.complex64)}, "too_short"),
        ({"iq": np.empty(0, np.complex64)}, "too_short"),
        ({"iq": np.full(64, np.nan, np.complex64)}, "non_finite"),
        ({"iq": np.full(64, 1e30, np.complex64)}, "non_finite"),
        ({"noise_power": math.nan}, "bad_noise_floor"),
        ({"noise_power": math.inf}, "bad_noise_floor"),
        ({"noise_power": -1.0}, "bad_noise_floor"),
    ],
)
def test_a_degenerate_burst_is_refused_with_its_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(BurstError, match=r"burst on ch .*expected") as refused:
        measure(burst(**({"iq": tone_in_noise(-20.0)} | changes)), receiver=RECEIVER)  # type: ignore[arg-type]
    assert refused.value.reason == reason


def test_levels_and_ratios_stay_within_their_bounds() -> None:
    assert power_to_dbfs(1.0) == 0.0
    assert power_to_dbfs(0.0) == pytest.approx(-150.0)
    assert snr_db(2.0, 1.0) == pytest.approx(0.0)
    assert snr_db(0.5, 1.0) == pytest.approx(-30.0)


def test_levels_are_absolute_where_full_scale_is_known() -> None:
    error = FrequencyError(-3.0, 0.5)
    seen = measure(
        burst(tone_in_noise(-20.0), full_scale_dbm=-31.5, frequency_error=error),
        receiver=RECEIVER,
    )
    assert seen.level_dbfs is not None
    assert seen.noise_floor_dbfs is not None
    assert seen.level_dbm == pytest.approx(seen.level_dbfs - 31.5)
    assert seen.noise_floor_dbm == pytest.approx(seen.noise_floor_dbfs - 31.5)
    assert seen.frequency_error == error
    unknown = measure(burst(tone_in_noise(-20.0)), receiver=RECEIVER)
    assert (unknown.level_dbm, unknown.noise_floor_dbm, unknown.frequency_error) == (None,) * 3
