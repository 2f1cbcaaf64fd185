"""A real recording of 1090 MHz: the detector's bursts hold the Mode S frames that are in it.

Where frames are is found by a decoder of its own, from ICAO Annex 10, volume IV (3.1.2): pulse
position modulation of 1 Mbit/s behind a preamble of four pulses, with 24 bits of parity.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.signal.detect import Detector
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.types import Burst, ChannelSpec, IQBlock, SampleCount

RATE_HZ = 2e6
"""Two samples a microsecond: one a pulse of half a microsecond."""
CHANNEL = ChannelSpec("adsb", 1090e6, 1.8e6)
START_NS = 1_700_000_000_000_000_000

PULSES = (0, 2, 7, 9)
"""Samples of the preamble's pulses, 0, 1, 3.5 and 4.5 µs."""
PREAMBLE = 16
GENERATOR = 0x1FFF409
LONG_FORMATS = tuple(range(16, 32))
PARITY_IS_PLAIN = (17, 18)
PARITY_HIDES_INTERROGATOR = (11,)
PARITY_HIDES_ADDRESS = (0, 4, 5, 16, 20, 21)


class Frame(NamedTuple):
    start: int
    stop: int
    """Sample after the last bit."""
    downlink_format: int
    address: int


def bit_syndromes(n_bits: int) -> np.ndarray:
    """What each bit of a message alone adds to its parity's remainder, int64 [n_bits]."""
    syndromes = [1 << n for n in range(24)]
    while len(syndromes) < n_bits:
        shifted = syndromes[-1] << 1
        syndromes.append((shifted ^ GENERATOR) & 0xFFFFFF if shifted >> 24 else shifted)
    return np.array(syndromes[::-1])


def remainders(bits: np.ndarray) -> np.ndarray:
    """0 where the last 24 bits are the parity of those before; bool [n, n_bits] → int64 [n]."""
    return np.bitwise_xor.reduce(np.where(bits, bit_syndromes(bits.shape[1]), 0), axis=1)


def numbers(bits: np.ndarray) -> np.ndarray:
    return bits @ (1 << np.arange(bits.shape[1])[::-1])


def frames_in(magnitude: np.ndarray) -> list[Frame]:
    """All frames with a good parity: plain, or over an address that another frame gave plainly."""
    windows = np.lib.stride_tricks.sliding_window_view(magnitude, PREAMBLE + 224)
    between = [n for n in range(PREAMBLE) if n not in PULSES]
    is_preamble = windows[:, PULSES].mean(axis=1) > 1.5 * windows[:, between].mean(axis=1)
    starts = np.flatnonzero(is_preamble)
    bits = windows[starts, PREAMBLE::2] > windows[starts, PREAMBLE + 1 :: 2]
    formats, addresses = numbers(bits[:, :5]), numbers(bits[:, 8:32])
    n_bits = np.where(np.isin(formats, LONG_FORMATS), 112, 56)
    parity = np.where(n_bits == 112, remainders(bits), remainders(bits[:, :56]))
    is_plain = np.isin(formats, PARITY_IS_PLAIN) & (parity == 0)
    is_good = (
        is_plain
        | (np.isin(formats, PARITY_HIDES_INTERROGATOR) & (parity < 128))
        | (np.isin(formats, PARITY_HIDES_ADDRESS) & np.isin(parity, addresses[is_plain]))
    )
    frames: list[Frame] = []
    for n in np.flatnonzero(is_good):
        start = int(starts[n])
        if not frames or start >= frames[-1].stop:
            stop = start + PREAMBLE + 2 * int(n_bits[n])
            frames.append(Frame(start, stop, int(formats[n]), int(addresses[n])))
    return frames


@pytest.fixture(scope="module")
def recording(data_dir: Path) -> np.ndarray:
    return np.fromfile(data_dir / "iq" / "modes1_1090M_2000k.cu8", np.uint8)


@pytest.fixture(scope="module")
def frames(recording: np.ndarray) -> list[Frame]:
    centred = recording.astype(np.float32) - np.float32(recording.mean())
    return frames_in(np.abs(centred.view(np.complex64)))


def detected(recording: np.ndarray) -> list[Burst]:
    """The bursts, by the real front end, block by block.

    The channel is never free for longer than 20 µs, and half of what fills it is no frame but
    replies of Mode A and C, and fragments. What tells frames is that they last 64 or 120 µs, and
    that their aircraft is near.
    """
    front_end = FrontEnd(
        datatype="cu8", sample_rate_hz=RATE_HZ, center_freq_hz=1090e6, channels=[CHANNEL]
    )
    detector = Detector(
        [
            Channel(
                name=CHANNEL.name,
                frequency_hz=CHANNEL.frequency_hz,
                bandwidth_hz=CHANNEL.bandwidth_hz,
                open_db=22.5,
                close_db=14.0,
                hang_s=0.0,
                min_duration_s=50e-6,
                max_duration_s=0.01,
            )
        ]
    )
    bursts: list[Burst] = []
    for first in range(0, len(recording), 65_536):
        block = IQBlock(
            samples=recording[first : first + 65_536],
            datatype="cu8",
            sample_rate_hz=RATE_HZ,
            center_freq_hz=1090e6,
            sample_start=first // 2,
            start_utc_ns=START_NS + first // 2 * 500,
        )
        (channel_block,) = front_end.process(block)
        bursts += detector.process(channel_block)
    return bursts + detector.flush()


@pytest.mark.real_data
def test_the_decoder_finds_the_frames_of_one_aircraft(frames: list[Frame]) -> None:
    plain = [f for f in frames if f.downlink_format in (11, 17)]
    assert len(plain) >= 214
    assert {f.address for f in plain} == {0x4D2023}


@pytest.mark.real_data
def test_bursts_hold_95_percent_of_the_frames_in_a_quarter_of_the_time(
    recording: np.ndarray, frames: list[Frame]
) -> None:
    bursts = detected(recording)
    starts = np.array([(b.start_utc_ns - START_NS) // 500 for b in bursts])
    stops = starts + [len(b.iq) for b in bursts]
    holder = np.searchsorted(starts, [f.start for f in frames], side="right") - 1
    is_held = (holder >= 0) & (stops[holder] >= [f.stop for f in frames])
    covered = (stops - starts).sum() / (len(recording) // 2)
    print(f"{len(frames)} frames, {is_held.mean():.1%} held by {len(bursts)} bursts, {covered:.1%}")
    assert is_held.mean() >= 0.95
    assert covered <= 0.25


@pytest.mark.real_data
def test_clipped_samples_are_counted_once(recording: np.ndarray) -> None:
    clipped = sum((b.count for b in detected(recording)), SampleCount()).clipped
    pairs = recording.reshape(-1, 2)
    assert 0 < clipped <= int(((pairs == 0) | (pairs == 255)).any(axis=1).sum())
