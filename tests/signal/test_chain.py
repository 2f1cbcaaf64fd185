"""One receiver's signal path: what goes in as bytes comes out as observations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.signal.chain import Heard, SignalChain
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.types import (
    NS_PER_S,
    ClockSource,
    ClockState,
    FrequencyError,
    IQBlock,
    Observation,
    Place,
    ReceiverInfo,
    SampleCount,
    frozen_array,
)

RATE_HZ = 250e3
CENTER_HZ = 446.05e6
START_UTC_NS = 1_790_000_000 * NS_PER_S
CHANNELS = (
    Channel(name="a", frequency_hz=446.0e6),
    Channel(name="b", frequency_hz=446.1e6),
)
GNSS = ClockState(ClockSource.GNSS, 1e-7, locked=True)


def chain(**more: object) -> SignalChain:
    return SignalChain(
        receiver=ReceiverInfo("s", "rx", Place(45.0, 7.0)),
        channels=CHANNELS,
        gain_db=30.0,
        **more,  # type: ignore[arg-type]
    )


def samples(duration_s: float, *, on_s: tuple[float, float], tone_hz: float) -> np.ndarray:
    """cu8: noise at −40 dBFS over the band, and a tone of −20 dBFS while it is on."""
    rng = np.random.default_rng(1)
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    iq = 0.01 * np.sqrt(0.5) * (rng.standard_normal((len(t), 2)) @ [1, 1j])
    iq += 0.1 * np.exp(2j * np.pi * tone_hz * t) * ((t >= on_s[0]) & (t < on_s[1]))
    interleaved = np.stack([iq.real, iq.imag], axis=1).ravel() * 127.5 + 127.5
    return np.clip(np.round(interleaved), 0, 255).astype(np.uint8)


def blocks(data: np.ndarray, n_samples: int = 16_384, **more: object) -> list[IQBlock]:
    made = []
    for first in range(0, len(data) // 2, n_samples):
        piece = data[2 * first : 2 * (first + n_samples)].copy()
        start_utc_ns = START_UTC_NS + round(first * NS_PER_S / RATE_HZ)
        made.append(
            IQBlock(
                frozen_array(piece), "cu8", RATE_HZ, CENTER_HZ, first, start_utc_ns,
                **more,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return made


def observed(chain: SignalChain, blocks: list[IQBlock]) -> list[Observation]:
    found = [o for block in blocks for o in chain.process(block).observations]
    return [*found, *chain.flush().observations]


DATA = samples(3.0, on_s=(1.0, 1.5), tone_hz=-50e3 + 1_200.0)


def test_a_tone_on_a_channel_becomes_one_observation_with_its_level_time_and_offset():
    (found,) = observed(chain(), blocks(DATA))
    assert found.channel == "a"
    assert (found.start_utc_ns - START_UTC_NS) / NS_PER_S == pytest.approx(1.0, abs=0.003)
    assert found.duration_s == pytest.approx(0.5, abs=0.005)
    assert found.level_dbfs == pytest.approx(-20.0, abs=0.2)
    assert found.noise_floor_dbfs == pytest.approx(-40 + 10 * math.log10(12.5e3 / RATE_HZ), abs=1)
    assert found.frequency_offset_hz == pytest.approx(1_200.0, abs=20)
    assert found.gain_db == 30.0
    assert found.receiver.key == ("s", "rx")
    assert found.snippet is None


def test_each_channel_says_how_far_it_has_listened_without_holes():
    under_test = chain()
    heard = [under_test.process(block) for block in blocks(DATA)]
    for name in ("a", "b"):
        said = [x for h in heard for x in h.listening if name in x.limit_dbfs]
        assert said
        for one, next_one in itertools.pairwise(said):
            assert next_one.start_utc_ns == one.end_utc_ns
        assert said[-1].end_utc_ns > START_UTC_NS + round(2.9 * NS_PER_S)
    assert sum((h.count for h in heard), SampleCount()).received == len(DATA) // 2
    assert set(under_test.noise_floor_dbfs) == {"a", "b"}


def test_iq_is_kept_where_the_clock_is_shared():
    (found,) = observed(chain(), blocks(DATA, clock=GNSS))
    assert found.snippet is not None
    assert found.clock == GNSS


def test_a_receiver_with_automatic_gain_gives_no_level_and_no_limit():
    under_test = chain(has_level=False)
    heard = [under_test.process(block) for block in blocks(DATA, full_scale_dbm=-30.0)]
    (found,) = [o for h in heard for o in h.observations]
    assert (found.level_dbfs, found.level_dbm, found.noise_floor_dbm) == (None, None, None)
    assert found.snr_db is not None
    assert {v for h in heard for x in h.listening for v in x.limit_dbfs.values()} == {math.inf}


def test_a_block_that_knows_its_place_moves_the_receiver():
    there = Place(44.0, 8.0)
    (found,) = observed(chain(), blocks(DATA, place=there))
    assert found.receiver.place.latitude_deg == 44.0


def test_another_centre_frequency_builds_the_chain_anew_and_ends_what_was_open():
    under_test = chain()
    data = samples(1.2, on_s=(0.5, 1.2), tone_hz=-50e3)
    first = blocks(data)
    for block in first:
        under_test.process(block)
    moved = IQBlock(
        first[0].samples, "cu8", RATE_HZ, CENTER_HZ + 1e3, len(data) // 2, first[-1].end_utc_ns
    )
    (cut,) = under_test.process(moved).observations
    assert cut.duration_s == pytest.approx(0.7, abs=0.03)


def test_what_a_new_tuning_ended_is_not_lost_with_a_first_block_that_is_refused():
    under_test = chain()
    data = samples(1.2, on_s=(0.5, 1.2), tone_hz=-50e3)
    first = blocks(data)
    for block in first:
        under_test.process(block)
    broken = IQBlock(
        frozen_array(np.full(2_000, np.nan, np.float32)), "cf32_le", RATE_HZ, CENTER_HZ,
        len(data) // 2, first[-1].end_utc_ns,
    )  # fmt: skip
    with pytest.raises(BurstError):
        under_test.process(broken)
    (cut,) = under_test.flush().observations
    assert cut.duration_s == pytest.approx(0.7, abs=0.03)


def test_a_channel_outside_the_band_is_named():
    far = IQBlock(frozen_array(DATA[:200].copy()), "cu8", RATE_HZ, 440e6, 0, START_UTC_NS)
    with pytest.raises(SourceDataError, match="'a'"):
        chain().process(far)


def test_samples_that_are_no_numbers_are_refused_and_the_next_block_goes_on():
    under_test = chain()
    broken = np.full(2 * 16_384, np.nan, np.float32)
    bad = IQBlock(frozen_array(broken), "cf32_le", RATE_HZ, CENTER_HZ, 0, START_UTC_NS)
    with pytest.raises(BurstError):
        under_test.process(bad)
    good = IQBlock(
        frozen_array(np.zeros_like(broken)), "cf32_le", RATE_HZ, CENTER_HZ, 16_384,
        START_UTC_NS + round(16_384 * NS_PER_S / RATE_HZ),
    )  # fmt: skip
    assert under_test.process(good).count == SampleCount(received=16_384, dropped=16_384)


def test_levels_and_limits_are_absolute_where_the_blocks_say_what_full_scale_is():
    error = FrequencyError(1.5, 0.2)
    told = blocks(DATA, full_scale_dbm=-30.0, frequency_error=error)
    under_test = chain()
    heard = [under_test.process(block) for block in told]
    (found,) = [o for h in heard for o in h.observations]
    assert found.level_dbfs is not None
    assert found.level_dbm == pytest.approx(found.level_dbfs - 30.0)
    assert found.frequency_error == error
    assert {x.full_scale_dbm for h in heard for x in h.listening} == {-30.0}


# ── shedding ──────────────────────────────────────────────────────────────────────────────


def spans(heard: list[Heard], name: str) -> list[tuple[float, float]]:
    """What is claimed of a channel, in seconds."""
    return [
        ((x.start_utc_ns - START_UTC_NS) / NS_PER_S, (x.end_utc_ns - START_UTC_NS) / NS_PER_S)
        for h in heard
        for x in h.listening
        if name in x.limit_dbfs
    ]


def test_a_channel_that_is_shed_ends_and_nothing_is_claimed_of_it_until_it_is_back():
    under_test = chain()
    on_a = samples(3.0, on_s=(0.5, 2.5), tone_hz=-50e3)
    given = blocks(on_a)
    assert under_test.active_channels == {"a", "b"}
    before = [under_test.process(block) for block in given[:16]]
    under_test.limit_to({"b", "unknown"}, with_mel=True)
    assert under_test.active_channels == {"b"}
    shed = [under_test.process(block) for block in given[16:30]]
    assert set(under_test.noise_floor_dbfs) == {"b"}
    under_test.limit_to(["a", "b"], with_mel=True)
    after = [under_test.process(block) for block in given[30:]]
    block_s = 16_384 / RATE_HZ

    assert [o for h in before for o in h.observations] == []
    (ended,) = shed[0].observations
    assert ended.channel == "a"
    assert ended.duration_s == pytest.approx(16 * block_s - 0.5, abs=0.02)
    assert [o for h in shed[1:] for o in h.observations] == []
    (again,) = [o for h in after for o in h.observations]
    begins_s = (again.start_utc_ns - START_UTC_NS) / NS_PER_S
    assert begins_s == pytest.approx(30 * block_s, abs=0.02)
    assert begins_s + again.duration_s == pytest.approx(2.5, abs=0.02)

    assert spans(shed, "a") == []
    assert spans(before, "a")[-1][1] == pytest.approx(0.5, abs=0.02)
    assert spans(after, "a")[0][0] == pytest.approx(30 * block_s, abs=0.02)
    claimed = spans([*before, *shed, *after], "b")
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(claimed))
    assert claimed[-1][1] > 2.9


def test_shedding_all_channels_still_counts_the_samples():
    under_test = chain()
    under_test.limit_to((), with_mel=False)
    heard = [under_test.process(block) for block in blocks(DATA)]
    assert sum((h.count for h in heard), SampleCount()).received == len(DATA) // 2
    assert {(h.observations, h.listening) for h in heard} == {((), ())}
    assert under_test.flush().observations == ()


def test_mel_is_left_out_where_it_is_not_wanted():
    profile = MelProfile(
        sample_rate_hz=16_000.0, n_fft=256, hop_length=64, window="hann", n_mels=32, n_frames=64,
        scale="mel", fmin_hz=-8_000.0, fmax_hz=8_000.0,
    )  # fmt: skip
    under_test = chain(mel_profile=profile)
    (with_mel,) = observed(under_test, blocks(DATA))
    assert with_mel.mel is not None
    under_test.limit_to({"a", "b"}, with_mel=False)
    (without,) = observed(under_test, blocks(DATA))
    assert without.mel is None


def test_channels_of_other_widths_and_modes_are_watched_side_by_side():
    channels = (
        *CHANNELS,
        Channel(name="wide", frequency_hz=446.0e6, bandwidth_hz=50_000.0),
        Channel(name="beacon", frequency_hz=446.0e6, mode="continuous", window_s=0.25),
    )
    under_test = SignalChain(receiver=ReceiverInfo("s", "rx", Place(45.0, 7.0)), channels=channels)
    found = observed(under_test, blocks(DATA))
    lengths = {
        name: [round(o.duration_s, 2) for o in found if o.channel == name]
        for name in ("a", "b", "wide", "beacon")
    }
    assert lengths == {"a": [0.5], "b": [], "wide": [0.5], "beacon": [0.25, 0.25]}
    assert set(under_test.noise_floor_dbfs) == {"a", "b", "wide", "beacon"}
