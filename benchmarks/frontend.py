"""CPU seconds that the front end takes for a second of IQ, by rate and number of channels.

Run ``python benchmarks/frontend.py``; ``--lengths`` prints instead what frames of other lengths
would cost, from which ``channel_plan.MAX_FRAME_OVERLAPS`` was chosen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.signal import channel_plan
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.types import ChannelSpec, IQBlock, frozen_array

RATES_HZ = (0.25e6, 1.024e6, 2.048e6, 2.4e6, 3.2e6)
N_CHANNELS = (1, 8, 32, 128)
CENTER_HZ = 433.92e6
STREAM_S = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--block", type=int, default=65_536, help="samples a block")
    parser.add_argument("--bandwidth", type=float, default=12_500.0, help="of a channel, Hz")
    parser.add_argument("--seconds", type=float, default=1.0, help="least CPU time a measurement")
    parser.add_argument("--lengths", action="store_true", help="compare lengths of frames")
    options = parser.parse_args()
    if options.lengths:
        print_lengths(options)
    else:
        print_rates(options)


def print_rates(options: argparse.Namespace) -> None:
    print("CPU seconds a second of cu8 IQ, one thread")
    print(f"blocks of {options.block} samples, channels of {options.bandwidth:.0f} Hz\n")
    heads = "".join(f"{f'{n} ch':>9}" for n in N_CHANNELS)
    print(f"{'rate, Hz':>10}{'convert':>9}{heads}")
    for rate_hz in RATES_HZ:
        blocks = synthetic_blocks(rate_hz, options.block)
        cells = [cpu_share(blocks, lambda b: to_complex64(b.samples), options.seconds)]
        for n_channels in N_CHANNELS:
            front_end = build(rate_hz, n_channels, options.bandwidth)
            cells.append(cpu_share(blocks, front_end.process, options.seconds))
        print(f"{rate_hz:>10.0f}" + "".join(f"{cell:>9.4f}" for cell in cells))


def print_lengths(options: argparse.Namespace) -> None:
    print("CPU seconds a second of cu8 IQ at 2.4 Msps, 8 channels, by length of the frames\n")
    print(f"{'overlaps':>9}{'n_fft':>9}{'kept':>7}{'ms':>7}{'CPU':>9}")
    blocks = synthetic_blocks(2.4e6, options.block)
    for n_overlaps in (2, 3, 4, 5, 6, 8, 12, 16):
        channel_plan.MAX_FRAME_OVERLAPS = n_overlaps
        front_end = build(2.4e6, 8, options.bandwidth)
        plan = front_end._channelizer.plan
        cpu = cpu_share(blocks, front_end.process, options.seconds)
        kept, length_ms = plan.hop / plan.n_fft, plan.n_fft / 2.4e3
        print(f"{n_overlaps:>9}{plan.n_fft:>9}{kept:>7.2f}{length_ms:>7.1f}{cpu:>9.4f}")


def build(rate_hz: float, n_channels: int, bandwidth_hz: float) -> FrontEnd:
    offsets_hz = np.linspace(-0.45, 0.45, n_channels + 2)[1:-1] * rate_hz
    return FrontEnd(
        datatype="cu8",
        sample_rate_hz=rate_hz,
        center_freq_hz=CENTER_HZ,
        channels=[
            ChannelSpec(f"channel-{i}", CENTER_HZ + offset_hz, bandwidth_hz)
            for i, offset_hz in enumerate(offsets_hz.tolist())
        ],
    )


def synthetic_blocks(rate_hz: float, n_block: int) -> list[IQBlock]:
    """Noise of a dongle's usual level, in whole blocks that follow each other."""
    generator = np.random.default_rng(0)
    n_blocks = max(2, round(STREAM_S * rate_hz / n_block))
    return [
        IQBlock(
            samples=frozen_array(
                np.rint(127.4 + 10 * generator.standard_normal(2 * n_block, np.float32)).astype(
                    "u1"
                )
            ),
            datatype="cu8",
            sample_rate_hz=rate_hz,
            center_freq_hz=CENTER_HZ,
            sample_start=i * n_block,
            start_utc_ns=round(i * n_block * 1e9 / rate_hz),
        )
        for i in range(n_blocks)
    ]


def to_complex64(samples: NDArray[np.uint8]) -> NDArray[np.complex64]:
    return samples.astype(np.float32).view(np.complex64)


def cpu_share(blocks: list[IQBlock], process: Callable[[IQBlock], object], least_s: float) -> float:
    """CPU time over the samples' own time, after one pass to warm up."""
    for block in blocks:
        process(block)
    n_samples, start = 0, time.process_time()
    while time.process_time() - start < least_s:
        for block in blocks:
            process(block)
            n_samples += block.n_samples
    return (time.process_time() - start) / (n_samples / blocks[0].sample_rate_hz)


if __name__ == "__main__":
    main()
