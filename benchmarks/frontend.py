"""CPU seconds that the front end takes for a second of cu8, beside other programs.

Run ``python benchmarks/frontend.py``: the same recordings and channels, by us and by the peers that
are installed (see ``peers.py``). ``--lengths`` prints instead what blocks and frames of other
lengths would cost, from which ``channel_plan.MAX_FRAME_OVERLAPS`` and the sources' blocks were
chosen: longer frames save a tenth, but come later, and lose more at a gap.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from peers import CHUNK, Recording, Rtl433, channel_peers

from heimdall_edge.config import Channel
from heimdall_edge.signal import channel_plan
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.types import NS_PER_S, ChannelSpec, IQBlock, Place, ReceiverInfo, frozen_array

RATES_HZ = (0.25e6, 1.024e6, 2.048e6, 2.4e6, 3.2e6)
N_CHANNELS = (1, 8, 32, 128)
CENTER_HZ = 433.92e6
PEER_CHANNELS = 2
"""A peer is measured with so many; what each costs is then multiplied."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bandwidth", type=float, default=12_500.0, help="of a channel, Hz")
    parser.add_argument("--samples", type=float, default=1.2e7, help="in each recording")
    parser.add_argument("--turns", type=int, default=3, help="of which the least counts")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES_HZ, help="samples a second")
    parser.add_argument("--lengths", action="store_true", help="compare blocks and frames")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heimdall-edge-frontend-") as folder:
        if options.lengths:
            print_lengths(recorded(Path(folder), 2.4e6, options))
        else:
            recordings = [recorded(Path(folder), rate_hz, options) for rate_hz in options.rates]
            print_channels(recordings)
            print_whole_band(recordings)


# ── tables ────────────────────────────────────────────────────────────────────────────────


def print_channels(recordings: Sequence[Recording]) -> None:
    """CPU of each, and in brackets how many times ours it is."""
    peers, absent = channel_peers()
    width_hz = recordings[0].width_hz
    print(f"Front end, CPU seconds a second of cu8, channels of {width_hz:.0f} Hz; x: times ours")
    print(f"peers were measured with {PEER_CHANNELS} channels, and what each costs multiplied")
    print(f"absent, and not compared: {', '.join(absent) or 'none'}\n")
    print(f"{'rate, Hz':>10}{'channels':>10}{'ours':>9}{'real time':>11}", end="")
    print("".join(f"{peer.name:>24}" for peer in peers))
    for recording in recordings:
        offsets = spread(PEER_CHANNELS)
        costs = [peer.cost(recording, offsets) for peer in peers]
        for n_channels in N_CHANNELS:
            ours = our_share(recording, n_channels)
            theirs = [cost.of(n_channels) for cost in costs]
            cells = "".join(f"{share:>14.4f} ({share / ours:>5.1f} x)" for share in theirs)
            print(
                f"{recording.sample_rate_hz:>10.0f}{n_channels:>10}{ours:>9.4f}"
                f"{1 / ours:>9.0f} x{cells}",
                flush=True,
            )


def print_whole_band(recordings: Sequence[Recording]) -> None:
    """rtl_433 has no channels: it looks for pulses in all of the band, and so do we here."""
    print("\nWhole signal path, the band as one channel; rtl_433 with its decoders\n")
    if not shutil.which("rtl_433"):
        print("rtl_433 is absent, and not compared")
        return
    print(f"{'rate, Hz':>10}{'ours':>9}{'rtl_433':>10}{'rtl_433 / ours':>16}")
    for recording in recordings:
        ours, theirs = whole_band_share(recording), Rtl433().cost(recording, ()).shared
        print(f"{recording.sample_rate_hz:>10.0f}{ours:>9.4f}{theirs:>10.4f}{theirs / ours:>16.2f}")


def print_lengths(recording: Recording) -> None:
    print("Front end, CPU seconds a second of cu8 at 2.4 Msps, by the lengths of frames and blocks")
    print(f"overlaps: how many times the filter's length a frame has; channels: {N_CHANNELS}\n")
    print(f"{'overlaps':>9}{'n_fft':>8}{'kept':>6}{'ms':>6}{'block':>9}", end="")
    print("".join(f"{f'{n} ch':>9}" for n in N_CHANNELS))
    for n_overlaps in (2, 3, 4, 6, 8, 12):
        channel_plan.MAX_FRAME_OVERLAPS = n_overlaps
        plan = front_end(recording, 1)._channelizer.plan
        head = (
            f"{n_overlaps:>9}{plan.n_fft:>8}{plan.hop / plan.n_fft:>6.2f}{plan.n_fft / 2.4e3:>6.0f}"
        )
        for n_block in (16_384, 65_536, 262_144):
            shares = [our_share(recording, n, n_block) for n in N_CHANNELS]
            print(f"{head}{n_block:>9}" + "".join(f"{share:>9.4f}" for share in shares), flush=True)


# ── measuring ─────────────────────────────────────────────────────────────────────────────


def recorded(folder: Path, rate_hz: float, options: argparse.Namespace) -> Recording:
    """Noise of a dongle's usual level, and a weak carrier on each channel that peers look at."""
    n = round(options.samples)
    iq = 10 * np.random.default_rng(0).standard_normal(2 * n, np.float32)
    for offset in spread(PEER_CHANNELS):
        iq += 2 * np.exp(2j * np.pi * offset * np.arange(n)).astype(np.complex64).view(np.float32)
    path, empty_path = folder / f"{rate_hz:.0f}.cu8", folder / "empty.cu8"
    np.clip(np.rint(iq + np.float32(127.4)), 0, 255).astype(np.uint8).tofile(path)
    empty_path.touch()
    return Recording(path, empty_path, rate_hz, n, options.bandwidth, options.turns)


def spread(n_channels: int) -> list[float]:
    """Offsets of channels from the centre, over nine tenths of the band, cycles a sample."""
    return [float(offset) for offset in np.linspace(-0.45, 0.45, n_channels + 2)[1:-1]]


def front_end(recording: Recording, n_channels: int) -> FrontEnd:
    rate_hz = recording.sample_rate_hz
    return FrontEnd(
        datatype="cu8",
        sample_rate_hz=rate_hz,
        center_freq_hz=CENTER_HZ,
        channels=[
            ChannelSpec(f"channel-{i}", CENTER_HZ + offset * rate_hz, recording.width_hz)
            for i, offset in enumerate(spread(n_channels))
        ],
    )


def our_share(recording: Recording, n_channels: int, n_block: int = CHUNK) -> float:
    """As the peers: read the file, give each channel's samples to nobody."""
    unit = front_end(recording, n_channels)

    def process(block: IQBlock) -> None:
        sink.writelines(channels.iq for channels in unit.process(block))

    with Path(os.devnull).open("wb") as sink:
        return share_of(recording, process, n_block)


def whole_band_share(recording: Recording) -> float:
    """Read the file, find the transmissions in nine tenths of the band, measure them."""
    width_hz = 0.9 * recording.sample_rate_hz
    channel = Channel(name="band", frequency_hz=CENTER_HZ, bandwidth_hz=width_hz)
    receiver = ReceiverInfo("bench", "rtl", Place(45.07, 7.69))
    return share_of(recording, SignalChain(receiver=receiver, channels=[channel]).process, CHUNK)


def share_of(recording: Recording, process: Callable[[IQBlock], object], n_block: int) -> float:
    """CPU seconds of the process a second of IQ."""
    played = [cpu_of(recording, process, n_block) for _ in range(recording.turns)]
    return min(played) / recording.seconds


def cpu_of(recording: Recording, process: Callable[[IQBlock], object], n_block: int) -> float:
    began_s, n_read = time.process_time(), 0
    with recording.path.open("rb") as file:
        while chunk := file.read(2 * n_block):
            block = IQBlock(
                samples=frozen_array(np.frombuffer(chunk, np.uint8)),
                datatype="cu8",
                sample_rate_hz=recording.sample_rate_hz,
                center_freq_hz=CENTER_HZ,
                sample_start=n_read,
                start_utc_ns=round(n_read * NS_PER_S / recording.sample_rate_hz),
            )
            process(block)
            n_read += block.n_samples
    return time.process_time() - began_s


if __name__ == "__main__":
    main()
