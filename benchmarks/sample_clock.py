"""What SampleClock finds, and what it costs: ``python benchmarks/sample_clock.py [--hours H]``.

For each model of arrivals: the smallest loss of which at least 99 in 100 are found, how long that
takes, by how much it is wrong, false alarms in H hours without a loss, and microseconds a chunk.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from heimdall_edge.bench.arrivals import MODELS, Delays, ScriptedHost, chunks
from heimdall_edge.bench.table import Table, machine_in_words
from heimdall_edge.sources.sample_clock import NETWORK, USB, SampleClock, SamplePath

RATE_HZ, CHUNK = 2_400_000, 65_536
CHUNK_S = CHUNK / RATE_HZ
SIZES_MS = (5, 8, 10, 12, 15, 20, 30, 40, 45, 50, 60, 80)
SETTLE_S, APART_S, TRIALS = 90.0, 30.0, 100
PATHS = {"usb": USB, "busy host": USB, "wifi": NETWORK, "internet": NETWORK}


def found(delays: Delays, path: SamplePath, n_chunks: int, lost_s: dict[int, float], seed: int):
    """(chunk number, seconds found) of each loss that is reported; and microseconds a chunk."""
    rng = np.random.default_rng(seed)
    made = chunks(
        delays, rng=rng, n_chunks=n_chunks, chunk_s=CHUNK_S, ppm=rng.normal(0, 80), lost_s=lost_s
    )
    host = ScriptedHost()
    clock = SampleClock(sample_rate_hz=RATE_HZ, host=host, path=path)
    told, began_s = [], time.perf_counter()
    for number, arrival_ns in enumerate(made.arrival_ns):
        host.now_ns = arrival_ns
        arrival = clock.arrived(CHUNK, arrival_ns)
        if arrival.lost_samples:
            told.append((number, arrival.lost_samples / RATE_HZ))
    return told, (time.perf_counter() - began_s) / n_chunks * 1e6


def trials(delays: Delays, path: SamplePath, size_s: float):
    """Share of losses that are found within 15 s, their delays and errors."""
    places = [round((SETTLE_S + i * APART_S) / CHUNK_S) for i in range(TRIALS)]
    n_chunks = places[-1] + round(APART_S / CHUNK_S)
    told, _ = found(delays, path, n_chunks, dict.fromkeys(places, size_s), seed=1)
    waits, errors = [], []
    for place in places:
        near = [(n, s) for n, s in told if 0 <= (n - place) * CHUNK_S < 15.0]
        if near:
            waits.append((near[0][0] - place) * CHUNK_S + size_s)
            errors.append(abs(sum(s for _, s in near) - size_s))
    return len(waits) / TRIALS, waits, errors


def row(name: str, hours: float) -> tuple[str, ...]:
    delays, path = MODELS[name], PATHS[name]
    false, cost_us = found(delays, path, round(hours * 3600 / CHUNK_S), {}, seed=2)
    for size_ms in SIZES_MS:
        share, waits, errors = trials(delays, path, size_ms / 1e3)
        if share >= 0.99:
            return (
                name,
                "usb" if path is USB else "network",
                f"{size_ms}",
                f"{np.median(waits):.1f}",
                f"{max(waits):.1f}",
                f"{np.percentile(errors, 95) * 1e3:.2f}",
                f"{len(false) * 24 / hours:.2g}",
                f"{cost_us:.1f}",
            )
    return (name, "usb" if path is USB else "network", "none", *["-"] * 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    arguments = parser.parse_args()
    table = Table(
        title=f"Losses that nothing announces, chunks of {CHUNK} samples at {RATE_HZ / 1e6} Msps",
        columns=(
            "arrivals",
            "path",
            "found 99 % (ms)",
            "after, median (s)",
            "at most (s)",
            "error p95 (ms)",
            "false a day",
            "µs a chunk",
        ),
        rows=[row(name, arguments.hours) for name in MODELS],
        notes=(f"{TRIALS} losses each, {APART_S:.0f} s apart; false in {arguments.hours:g} h.",),
    )
    print(table.in_words(machine_in_words()))


if __name__ == "__main__":
    main()
