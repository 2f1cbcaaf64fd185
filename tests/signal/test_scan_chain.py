"""A receiver that hops: each centre has its own chain, and nothing is claimed for the time away."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.signal.chain import Chain, Heard
from heimdall_edge.signal.scan_chain import ScanChain
from heimdall_edge.types import (
    NS_PER_S,
    IQBlock,
    Observation,
    Place,
    ReceiverInfo,
    SampleCount,
    frozen_array,
)

RATE_HZ = 250e3
LOW_HZ, HIGH_HZ = 446.0e6, 446.15e6
BLOCK = 25_000
BLOCK_S = BLOCK / RATE_HZ
START_UTC_NS = 1_790_000_000 * NS_PER_S
CHANNELS = (
    Channel(name="low", frequency_hz=445.95e6),
    Channel(name="both", frequency_hz=446.075e6),
    Channel(name="high", frequency_hz=446.2e6),
)


def scan(**more: object) -> ScanChain:
    return ScanChain(
        receiver=ReceiverInfo("s", "rx", Place(45.0, 7.0)),
        channels=CHANNELS,
        centers_hz=(LOW_HZ, HIGH_HZ),
        **more,  # type: ignore[arg-type]
    )


def block(
    index: int, center_hz: float, *tones_hz: float, settling: bool = False, n: int = BLOCK
) -> IQBlock:
    """The block that is ``index`` blocks after the start: noise, and tones of -20 dBFS."""
    rng = np.random.default_rng(index)
    t = (np.arange(n) + index * BLOCK) / RATE_HZ
    iq = 0.01 * np.sqrt(0.5) * (rng.standard_normal((n, 2)) @ [1, 1j])
    for tone_hz in tones_hz:
        if abs(tone_hz - center_hz) > RATE_HZ / 2:
            continue
        iq += 0.1 * np.exp(2j * np.pi * (tone_hz - center_hz) * t)
    interleaved = np.stack([iq.real, iq.imag], axis=1).ravel() * 127.5 + 127.5
    return IQBlock(
        samples=frozen_array(np.clip(np.round(interleaved), 0, 255).astype(np.uint8)),
        datatype="cu8",
        sample_rate_hz=RATE_HZ,
        center_freq_hz=center_hz,
        sample_start=index * BLOCK,
        start_utc_ns=START_UTC_NS + round(index * BLOCK_S * NS_PER_S),
        discarded_samples=BLOCK if settling else 0,
    )


def visits(n: int, *tones_hz: float) -> list[IQBlock]:
    """Each centre by turns for four blocks, after one in which the tuner settles."""
    return [
        block(5 * visit + i, (LOW_HZ, HIGH_HZ)[visit % 2], *tones_hz, settling=i == 1)
        for visit in range(n)
        for i in range(1, 5)
    ]


def claimed_s(heard: list[Heard], name: str) -> list[tuple[float, float]]:
    """Stretches that are claimed of a channel, those that touch put together."""
    merged: list[tuple[float, float]] = []
    for line in (x for h in heard for x in h.listening if name in x.limit_dbfs):
        start_s = (line.start_utc_ns - START_UTC_NS) / NS_PER_S
        end_s = (line.end_utc_ns - START_UTC_NS) / NS_PER_S
        if merged and merged[-1][1] == start_s:
            merged[-1] = (merged[-1][0], end_s)
        else:
            merged.append((start_s, end_s))
    return merged


def observations(heard: list[Heard]) -> list[Observation]:
    return [o for h in heard for o in h.observations]


def is_away(at_s: float, center: int) -> bool:
    visit, within = divmod(at_s / BLOCK_S, 5)
    return int(visit) % 2 != center or within < 1


def test_nothing_is_claimed_for_the_time_away() -> None:
    under_test: Chain = scan()
    heard = [under_test.process(b) for b in visits(8)]
    for name, centers in (("low", (0,)), ("high", (1,)), ("both", (0, 1))):
        claimed = claimed_s(heard, name)
        assert len(claimed) == 4 * len(centers)
        for start_s, end_s in claimed:
            assert 0.3 < end_s - start_s < 4 * BLOCK_S
            for at_s in np.linspace(start_s, end_s - 1e-6, 20):
                assert any(not is_away(at_s, center) for center in centers)


def test_what_is_open_at_a_hop_ends_there_and_is_found_again_at_the_next_visit() -> None:
    under_test = scan()
    heard = [under_test.process(b) for b in visits(4, 446.2e6)]
    found = [*observations(heard), *under_test.flush().observations]
    assert {o.channel for o in found} == {"high"}
    stretches = [
        ((o.start_utc_ns - START_UTC_NS) / NS_PER_S / BLOCK_S, o.duration_s / BLOCK_S)
        for o in found
    ]
    assert [round(start) for start, _ in stretches] == [6, 16]
    assert [duration for _, duration in stretches] == pytest.approx([4, 4], abs=0.15)
    (at_the_hop,) = [i for i, h in enumerate(heard) if h.observations]
    assert at_the_hop == 8  # the first block of the visit after


def test_a_channel_in_two_bands_is_heard_at_both_centres() -> None:
    under_test = scan()
    heard = [under_test.process(b) for b in visits(4, 446.075e6)]
    found = [*observations(heard), *under_test.flush().observations]
    assert [o.channel for o in found] == ["both"] * 4


def test_noise_floors_survive_from_visit_to_visit() -> None:
    under_test = scan()
    for b in visits(2):
        under_test.process(b)
    floors = under_test.noise_floor_dbfs
    assert set(floors) == {"low", "both", "high"}
    under_test.process(block(11, LOW_HZ, n=5_000, settling=True))
    again = under_test.noise_floor_dbfs
    assert again["low"] == pytest.approx(floors["low"], abs=0.5)
    assert again["high"] == pytest.approx(floors["high"], abs=0.1)
    expected_dbfs = -40 + 10 * math.log10(12.5e3 / RATE_HZ)
    assert floors["low"] == pytest.approx(expected_dbfs, abs=1)


def test_samples_thrown_away_at_a_hop_are_no_fault() -> None:
    under_test = scan()
    given = visits(4)
    count = sum((under_test.process(b).count for b in given), SampleCount())
    assert count == SampleCount(received=len(given) * BLOCK, clipped=count.clipped)


def test_a_block_round_another_centre_is_refused_by_name() -> None:
    under_test = scan()
    under_test.process(block(0, LOW_HZ + 0.25))  # a device rounds
    with pytest.raises(SourceDataError, match=r"446010000 Hz; expected .* 446000000, 446150000"):
        under_test.process(block(1, 446.01e6))


def test_a_channel_in_no_band_and_a_band_without_channel_are_refused_by_name() -> None:
    far = Channel(name="far", frequency_hz=450e6)
    receiver = ReceiverInfo("s", "rx", Place(45.0, 7.0))
    lost = ScanChain(receiver=receiver, channels=[*CHANNELS, far], centers_hz=(LOW_HZ, HIGH_HZ))
    with pytest.raises(SourceDataError, match=r"'far' \(450000000 Hz\) lies in no centre's band"):
        lost.tune(block(0, LOW_HZ))
    idle = ScanChain(receiver=receiver, channels=CHANNELS, centers_hz=(LOW_HZ, HIGH_HZ, 460e6))
    with pytest.raises(SourceDataError, match="no channel lies within the band round 460000000 Hz"):
        idle.tune(block(0, LOW_HZ))


def test_what_a_hop_ended_is_not_lost_with_a_first_block_that_is_refused() -> None:
    under_test = scan()
    for b in visits(1, 445.95e6):
        under_test.process(b)
    good = block(6, HIGH_HZ, settling=True)
    with pytest.raises(BurstError):
        under_test.process(
            IQBlock(
                frozen_array(np.zeros(7, np.uint8)), "cu8", RATE_HZ, HIGH_HZ, 6 * BLOCK,
                good.start_utc_ns,
            )
        )  # fmt: skip
    (ended,) = under_test.process(good).observations
    assert ended.channel == "low"


def test_channels_are_shed_at_every_centre() -> None:
    under_test = scan()
    under_test.limit_to({"high", "unknown"}, with_mel=False)
    assert under_test.active_channels == {"high"}
    heard = [under_test.process(b) for b in visits(4, 446.075e6, 446.2e6)]
    assert {o.channel for o in observations(heard)} == {"high"}
    assert claimed_s(heard, "low") == claimed_s(heard, "both") == []
    under_test.limit_to({"high", "low", "both"}, with_mel=True)
    later = [under_test.process(block(21 + i, LOW_HZ, settling=i == 0)) for i in range(4)]
    assert len(claimed_s(later, "low")) == 1


def test_another_rate_builds_all_chains_anew_and_ends_what_was_open() -> None:
    under_test = scan()
    for b in visits(1, 445.95e6):
        under_test.process(b)
    faster = IQBlock(
        frozen_array(np.full(2 * BLOCK, 127, np.uint8)), "cu8", 2 * RATE_HZ, LOW_HZ, 5 * BLOCK,
        START_UTC_NS + round(5 * BLOCK_S * NS_PER_S),
    )  # fmt: skip
    (ended,) = under_test.process(faster).observations
    assert ended.duration_s == pytest.approx(4 * BLOCK_S, abs=0.02)
    assert set(under_test.noise_floor_dbfs) <= {"low", "both", "high"}
