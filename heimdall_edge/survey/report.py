"""What was found, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from heimdall_edge.geodesy import is_absurd
from heimdall_edge.survey.advice import gain_advice, neighbours, warnings
from heimdall_edge.survey.channels import ChannelMeasure
from heimdall_edge.survey.meter import Measured
from heimdall_edge.survey.run import Surveyed

RECEIVER_TITLES = (
    "receiver", "centre MHz", "kS/s", "s", "gain dB", "noise dBFS", "peak dBFS", "clipped",
    "spike dB", "lost", "dropped", "crystal ppm",
)  # fmt: skip
CHANNEL_TITLES = (
    "receiver", "channel", "MHz", "floor dBFS", "over open_db", "bursts", "best SNR dB",
)  # fmt: skip


def in_words(found: Sequence[Surveyed]) -> str:
    """The whole report: receivers, channels, gains, warnings."""
    rows = [_receiver_row(m) for s in found for m in s.measured]
    channels = [_channel_row(m, c) for s in found for m in s.measured for c in m.channels]
    parts = [_table(RECEIVER_TITLES, rows), _table(CHANNEL_TITLES, channels)]
    parts.append("\n".join(["gain", *(f"  {line}" for line in _gain_lines(found))]))
    problems = list(problems_of(found))
    if problems:
        parts.append("\n".join(["look at", *(f"  {line}" for line in problems)]))
    return "\n\n".join(part for part in parts if part)


def problems_of(found: Sequence[Surveyed]) -> Iterator[str]:
    """Everything that is not as it should be, one line each."""
    for surveyed in found:
        if surveyed.problem:
            yield f"{surveyed.receiver.id}: {surveyed.problem}"
        for measured in surveyed.measured:
            for line in warnings(measured, surveyed.receiver):
                yield f"{surveyed.receiver.id}: {line}"
    places = [(s.receiver.id, s.info.place) for s in found]
    yield from neighbours([p for p in places if not is_absurd(p[1])])


def as_json(found: Sequence[Surveyed]) -> dict[str, Any]:
    """The same for programs; units are in the names, as everywhere."""
    return {
        "receivers": [
            {
                "receiver": surveyed.receiver.id,
                "device": surveyed.device,
                "problem": surveyed.problem,
                "centers": [_measured_json(m, surveyed) for m in surveyed.measured],
            }
            for surveyed in found
        ],
        "warnings": list(problems_of(found)),
    }


def _measured_json(measured: Measured, surveyed: Surveyed) -> dict[str, Any]:
    error = measured.frequency_error
    return {
        "center_freq_hz": measured.center_freq_hz,
        "sample_rate_hz": measured.sample_rate_hz,
        "measured_rate_hz": measured.measured_rate_hz,
        "duration_s": measured.duration_s,
        "samples": {**asdict(measured.count), "discarded": measured.discarded},
        "clipped_fraction": measured.count.clipped_fraction,
        "noise_dbfs": measured.noise_dbfs,
        "quantisation_dbfs": measured.quantisation_dbfs,
        "peak_dbfs": measured.peak_dbfs,
        "dc_dbfs": measured.dc_dbfs,
        "dc_over_noise_db": measured.dc_over_noise_db,
        "gain_db": measured.gain_db,
        "gain": asdict(gain_advice(measured, surveyed.receiver)),
        "frequency_error": asdict(error) if error else None,
        "clock": asdict(measured.clock),
        "channels": [_channel_json(channel) for channel in measured.channels],
        "out_of_band": list(measured.out_of_band),
    }


def _channel_json(measure: ChannelMeasure) -> dict[str, Any]:
    return {
        "channel": measure.channel.name,
        "frequency_hz": measure.channel.frequency_hz,
        "noise_floor_dbfs": measure.noise_floor_dbfs,
        "occupancy": measure.occupancy,
        "bursts": measure.n_bursts,
        "strongest_snr_db": measure.strongest_snr_db,
    }


def _receiver_row(measured: Measured) -> tuple[str, ...]:
    error = measured.frequency_error
    return (
        measured.receiver_id,
        f"{measured.center_freq_hz / 1e6:.4f}",
        f"{measured.sample_rate_hz / 1e3:,.1f}",
        f"{measured.duration_s:.1f}",
        _figure(measured.gain_db),
        _figure(measured.noise_dbfs),
        _figure(measured.peak_dbfs),
        f"{measured.count.clipped_fraction:.3%}",
        f"{measured.dc_over_noise_db:+.0f}",
        f"{measured.count.lost:,}",
        f"{measured.count.dropped:,}",
        f"{error.ppm:+.2f} ± {error.sigma_ppm:.2f}" if error else "-",
    )


def _channel_row(measured: Measured, measure: ChannelMeasure) -> tuple[str, ...]:
    return (
        measured.receiver_id,
        measure.channel.name,
        f"{measure.channel.frequency_hz / 1e6:.5f}",
        _figure(measure.noise_floor_dbfs),
        "-" if measure.occupancy is None else f"{measure.occupancy:.1%}",
        str(measure.n_bursts),
        _figure(measure.strongest_snr_db),
    )


def _gain_lines(found: Sequence[Surveyed]) -> Iterator[str]:
    for surveyed in found:
        for measured in surveyed.measured:
            advice = gain_advice(measured, surveyed.receiver)
            if not advice.change_db:
                what = "leave it as it is"
            elif advice.suggested_db is not None:
                what = f"set gain_db = {advice.suggested_db:.1f} ({advice.change_db:+.0f} dB)"
            else:
                what = f"{advice.change_db:+.0f} dB would be better"
            yield f"{surveyed.receiver.id}: {what}: {advice.reason}"


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.1f}"


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text, the first one to the left; nothing where there is no row."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for row in (titles, *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("  ".join(cells).rstrip())
    rule = "─" * max(map(len, lines))
    return "\n".join((lines[0], rule, *lines[1:]))
