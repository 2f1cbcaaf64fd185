"""CPU time of the signal path: a receiver's whole chain, and the spectrogram of a burst."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from heimdall_edge.bench.iq import BLOCK_SAMPLES, N_SAMPLES, SAMPLE_RATE_HZ, Band
from heimdall_edge.bench.table import Table
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.signal.mel import MelProfile, mel_spectrogram
from heimdall_edge.types import Complex64, IQBlock, Place, ReceiverInfo

N_CHANNELS = (1, 8, 32, 128)
TARGETS = {8: 0.08, 32: 0.12, 128: 0.25}
"""CPU seconds for a second of IQ, by the number of channels."""
WARM_UP_ROUNDS = 2
RECEIVER = ReceiverInfo("bench", "rtl", Place(45.07, 7.69))

MEL_SHAPES = ((256, 64, 64), (512, 128, 128), (1024, 256, 128))
"""n_fft, hop_length, n_mels."""
MEL_RATE_HZ = 16_000.0
MEL_SAMPLES = 480_000
MEL_TURNS = 5
MEL_NOISE_POWER = 1e-4


def cpu_table(*, seconds: float) -> Table:
    """CPU seconds for a second of IQ, through all that a receiver's worker does."""
    rows = [
        _cpu_row(band, n_block, seconds)
        for band in map(Band.of, N_CHANNELS)
        for n_block in BLOCK_SAMPLES
    ]
    return Table(
        title="CPU of one receiver's signal path, cu8 at 2.4 Msps, channels of 12.5 kHz",
        columns=("channels", "of them active", "samples a block", "CPU s per s of IQ",
                 "front end", "its share", "bursts measured"),
        rows=rows,
        notes=(
            "target: at most "
            + ", ".join(f"{share} for {n} channels" for n, share in TARGETS.items()),
        ),
    )  # fmt: skip


def _cpu_row(band: Band, n_block: int, seconds: float) -> tuple[str, ...]:
    n_bursts = 0
    chain = SignalChain(receiver=RECEIVER, channels=band.channels)
    front_end = FrontEnd(
        datatype="cu8",
        sample_rate_hz=SAMPLE_RATE_HZ,
        center_freq_hz=next(band.blocks(n_block)).center_freq_hz,
        channels=[channel.spec for channel in band.channels],
    )

    def hear(block: IQBlock) -> None:
        nonlocal n_bursts
        n_bursts += len(chain.process(block).observations)

    whole = cpu_share(hear, band, n_block, seconds)
    front = cpu_share(front_end.process, band, n_block, seconds)
    return (
        str(len(band.channels)),
        str(band.n_active),
        f"{n_block:,}",
        f"{whole:.3f}",
        f"{front:.3f}",
        f"{front / whole:.0%}",
        str(n_bursts),
    )


def cpu_share(
    process: Callable[[IQBlock], object], band: Band, n_block: int, seconds: float
) -> float:
    """CPU time of the process over the samples' own time, once it is warm."""
    blocks = band.blocks(n_block)
    for _ in range(WARM_UP_ROUNDS * N_SAMPLES // n_block):
        process(next(blocks))
    n_blocks = max(1, round(seconds * SAMPLE_RATE_HZ / n_block))
    began_s = time.process_time()
    for _ in range(n_blocks):
        process(next(blocks))
    return (time.process_time() - began_s) * SAMPLE_RATE_HZ / (n_blocks * n_block)


# ── mel ───────────────────────────────────────────────────────────────────────────────────


def mel_table() -> Table:
    """Samples that become mel spectrogram in a second of CPU time, and librosa's beside it."""
    pairs = np.random.default_rng(1).standard_normal((MEL_SAMPLES, 2), np.float32)
    iq: Complex64 = np.float32(0.01) * pairs.view(np.complex64)[:, 0]
    theirs = librosas_mel(iq)
    note = (
        "librosa takes real signals only, half the work: it gets the real part"
        if theirs
        else "librosa is not installed: no comparison"
    )
    return Table(
        title="Mel spectrogram in dB of complex IQ, millions of samples per CPU second",
        columns=("n_fft", "hop", "mels", "ours", "librosa", "ours / librosa"),
        rows=[_mel_row(iq, shape, theirs) for shape in MEL_SHAPES],
        notes=(note,),
    )


def _mel_row(
    iq: Complex64, shape: tuple[int, int, int], theirs: Callable[[MelProfile], object] | None
) -> tuple[str, ...]:
    n_fft, hop_length, n_mels = shape
    profile = MelProfile(
        sample_rate_hz=MEL_RATE_HZ,
        n_fft=n_fft,
        hop_length=hop_length,
        window="hann",
        n_mels=n_mels,
        n_frames=1 + (len(iq) - n_fft) // hop_length,
        scale="mel",
        fmin_hz=-MEL_RATE_HZ / 2,
        fmax_hz=MEL_RATE_HZ / 2,
    )
    calls: list[Callable[[], object]] = [
        lambda: mel_spectrogram(iq, MEL_RATE_HZ, MEL_NOISE_POWER, profile)
    ]
    if theirs:
        calls.append(lambda: theirs(profile))
    rates = [len(iq) / least_s / 1e6 for least_s in least_cpu_s(calls)]
    cells = [f"{rate:.1f}" for rate in rates]
    cells += [f"{rates[0] / rates[1]:.2f}"] if theirs else ["-", "-"]
    return (*(str(number) for number in shape), *cells)


def librosas_mel(iq: Complex64) -> Callable[[MelProfile], object] | None:
    """What librosa makes of the real part, for any profile; ``None`` where it is not installed."""
    try:
        import librosa
    except ImportError:
        return None
    real = iq.real.copy()

    def mel(profile: MelProfile) -> object:
        power = librosa.feature.melspectrogram(
            y=real,
            sr=profile.sample_rate_hz,
            n_fft=profile.n_fft,
            hop_length=profile.hop_length,
            n_mels=profile.n_mels,
            center=False,
        )
        return librosa.power_to_db(power, ref=MEL_NOISE_POWER)

    return mel


def least_cpu_s(calls: list[Callable[[], object]]) -> list[float]:
    """Least CPU time of each call; they take turns, so that all meet the same machine."""
    least = [float("inf")] * len(calls)
    for turn in range(1 + MEL_TURNS):
        for i, call in enumerate(calls):
            began_s = time.process_time()
            call()
            if turn:  # the first is for caches, and for what is compiled at its first call
                least[i] = min(least[i], time.process_time() - began_s)
    return least
