"""The same job by other programs, where they are installed: csdr, liquid-dsp, rtl_433.

The job: a file of cu8 in; out comes each channel of a given width, shifted to 0 Hz, filtered with
a transition band of the same width, at about the same output rate, as complex floats. Each peer is
given its own best way. What a peer spends before the first sample (planning, reading its tables) is
measured with an empty file and taken off. Of several turns the least counts.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from heimdall_edge.signal.channel_plan import channel_decimation, channel_taps

CHUNK = 65_536
"""Samples that liquid-dsp gets at once; csdr's buffers are its own."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of cu8, and an empty one beside it."""

    path: Path
    empty_path: Path
    sample_rate_hz: float
    n_samples: int
    width_hz: float
    turns: int
    """How often each measurement is made."""

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate_hz

    @property
    def decimation(self) -> int:
        return channel_decimation(self.sample_rate_hz, self.width_hz)

    @property
    def transition(self) -> float:
        """Of our own filters, from pass to stop band, cycles a sample."""
        output = 1 / self.decimation
        return (min(1.25 * self.width_hz / self.sample_rate_hz, output) - self.pass_band) / 2

    @property
    def pass_band(self) -> float:
        return self.width_hz / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds a second of IQ: once, and for each channel."""

    shared: float
    each: float

    def of(self, n_channels: int) -> float:
        return self.shared + n_channels * self.each


class Peer(Protocol):
    name: str

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:
        """Measure it, with channels at some offsets, cycles a sample."""


# ── csdr: programs in a pipe ──────────────────────────────────────────────────────────────


class CsdrFir:
    """Shift and decimate each channel by itself: what csdr is mostly used for."""

    name = "csdr fir"

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:
        convert = ["csdr", "convert_u8_f"]
        fir = ["csdr", "fir_decimate_cc", str(recording.decimation), f"{recording.transition:.6f}"]
        shared = pipe_share(recording, [convert])
        pipes = [
            pipe_share(recording, [convert, ["csdr", "shift_addition_cc", str(-offset)], fir])
            for offset in offsets
        ]
        return Cost(shared, mean(pipes) - shared)


class CsdrFastDdc:
    """One forward transform for all channels; it is at its best with a power of two."""

    name = "csdr fastddc"

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:
        sizes = [str(2 ** int(np.log2(recording.decimation))), f"{recording.transition:.6f}"]
        forward = ["csdr", "fastddc_fwd_cc", *sizes]
        spectra = recording.path.with_suffix(".spectra")
        try:
            shared = pipe_share(recording, [["csdr", "convert_u8_f"], forward], out=spectra)
            each = [
                pipe_share(recording, [["csdr", "fastddc_inv_cc", str(-o), *sizes]], given=spectra)
                for o in offsets
            ]
        finally:
            spectra.unlink(missing_ok=True)
        return Cost(shared, mean(each))


class Rtl433:
    """The whole band as one channel: envelope, FM and pulses; no channels, so another job."""

    name = "rtl_433"

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:  # noqa: ARG002
        read = ["rtl_433", "-F", "null", "-s", f"{recording.sample_rate_hz:.0f}", "-r", "cu8:-"]
        return Cost(pipe_share(recording, [read]), 0.0)


def pipe_share(
    recording: Recording,
    commands: Sequence[Sequence[str]],
    *,
    given: Path | None = None,
    out: Path | None = None,
) -> float:
    """CPU seconds of a pipe a second of IQ, less what it takes for no samples at all."""
    source = given or recording.path
    whole_s = min(cpu_s(commands, source, out) for _ in range(recording.turns))
    start_s = min(cpu_s(commands, recording.empty_path, None) for _ in range(recording.turns))
    return max(whole_s - start_s, 0.0) / recording.seconds


def cpu_s(commands: Sequence[Sequence[str]], given: Path, out: Path | None) -> float:
    """User and system time of all programs of a pipe."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with given.open("rb") as source, (out or Path(os.devnull)).open("wb") as sink:
        running: list[subprocess.Popen[bytes]] = []
        for i, command in enumerate(commands):
            is_last = i == len(commands) - 1
            running.append(
                subprocess.Popen(
                    command,
                    stdin=running[-1].stdout if running else source,
                    stdout=sink if is_last else subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )
        for process in running:
            if process.stdout:
                process.stdout.close()
        for process in running:
            process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# ── liquid-dsp: a library ─────────────────────────────────────────────────────────────────


class LiquidResampler:
    """Mix down and resample each channel; the conversion is NumPy's, liquid-dsp has none."""

    name = "liquid msresamp"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:
        shared = read_share(recording, lambda _: None)
        with_channel = [read_share(recording, self._channel(recording, o)) for o in offsets]
        return Cost(shared, mean(with_channel) - shared)

    def _channel(self, recording: Recording, offset: float) -> Callable[[np.ndarray], None]:
        library = self._library
        library.nco_crcf_create.restype = library.msresamp_crcf_create.restype = ctypes.c_void_p
        mixer = ctypes.c_void_p(library.nco_crcf_create(1))  # LIQUID_VCO
        library.nco_crcf_set_frequency(mixer, ctypes.c_float(2 * np.pi * offset))
        rate = ctypes.c_float(1 / recording.decimation)
        resampler = ctypes.c_void_p(library.msresamp_crcf_create(rate, ctypes.c_float(100.0)))
        mixed, out = np.empty(CHUNK, np.complex64), np.empty(CHUNK, np.complex64)
        n_out = ctypes.c_uint(0)

        def process(iq: np.ndarray) -> None:
            library.nco_crcf_mix_block_down(mixer, pointer(iq), pointer(mixed), len(iq))
            library.msresamp_crcf_execute(
                resampler, pointer(mixed), len(iq), pointer(out), ctypes.byref(n_out)
            )

        return process


class LiquidBank:
    """A polyphase bank: all channels of a grid as wide as they are, critically sampled.

    It wants a call for every sample of its output; those calls from Python are in the figure.
    """

    name = "liquid firpfbch"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def cost(self, recording: Recording, offsets: Sequence[float]) -> Cost:  # noqa: ARG002
        library = self._library
        n_channels = round(recording.sample_rate_hz / recording.width_hz)
        taps = channel_taps(recording.sample_rate_hz, recording.width_hz)
        library.firpfbch_crcf_create_kaiser.restype = ctypes.c_void_p
        bank = ctypes.c_void_p(
            library.firpfbch_crcf_create_kaiser(
                0, n_channels, round(len(taps) / 2 / n_channels), ctypes.c_float(100.0)
            )
        )
        out = np.empty(n_channels, np.complex64)
        execute, out_pointer = library.firpfbch_crcf_analyzer_execute, pointer(out)

        def process(iq: np.ndarray) -> None:
            first, step = iq.ctypes.data, n_channels * iq.itemsize
            for at in range(first, first + iq.nbytes - step + 1, step):
                execute(bank, ctypes.c_void_p(at), out_pointer)

        return Cost(read_share(recording, process), 0.0)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def read_share(recording: Recording, process: Callable[[np.ndarray], None]) -> float:
    """CPU seconds a second of IQ to read, convert and process the file in this process."""
    return min(read_s(recording, process) for _ in range(recording.turns)) / recording.seconds


def read_s(recording: Recording, process: Callable[[np.ndarray], None]) -> float:
    with recording.path.open("rb") as file:
        began_s = time.process_time()
        while chunk := file.read(2 * CHUNK):
            samples = np.frombuffer(chunk, np.uint8).astype(np.float32)
            samples -= np.float32(127.5)
            process(samples.view(np.complex64))
        return time.process_time() - began_s


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def channel_peers() -> tuple[list[Peer], list[str]]:
    """Those that are installed and give channels, and the names of those that are not."""
    peers: list[Peer] = []
    absent: list[str] = []
    if shutil.which("csdr"):
        peers += [CsdrFir(), CsdrFastDdc()]
    else:
        absent.append("csdr")
    if name := ctypes.util.find_library("liquid"):
        library = ctypes.CDLL(name)
        peers += [LiquidResampler(library), LiquidBank(library)]
    else:
        absent.append("liquid-dsp")
    return peers, absent
