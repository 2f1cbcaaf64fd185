"""What to do about it: the gain, and what else is not as it should be. Pure.

The gain is right where the band's noise stands 10…20 dB over what the converter's steps alone
make (then they add less than half a decibel to the floor), and where less than one sample in ten
thousand is clipped. Clipping comes first: what is clipped is wrong everywhere in the band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from heimdall_edge.config_receivers import TUNED_BY_US, Receiver
from heimdall_edge.geodesy import distance_m
from heimdall_edge.survey.meter import Measured
from heimdall_edge.types import Place

MAX_CLIPPED = 1e-4
LEAST_OVER_QUANTISATION_DB = 10.0
MOST_OVER_QUANTISATION_DB = 20.0
HEADROOM_DB = 3.0
"""What the strongest signal is left under full scale where the gain goes up."""
STEP_DOWN_DB, LARGE_STEP_DOWN_DB = 6.0, 12.0
MUCH_CLIPPED = 1e-2
EDGE_SHARE = 0.8
"""Of the band: beyond it the tuner's own filter falls off, and other bands fold in."""
SPIKE_DB = 10.0
ALWAYS_OPEN = 0.95
RATE_TOLERANCE = 5e-3
"""A host's clock tells the rate of a few seconds this well; less is a loss that nobody counted."""
SAME_PLACE_M = 50.0


@dataclass(frozen=True, slots=True)
class GainAdvice:
    """By how much the gain should change, and why."""

    change_db: float
    """0 leaves it as it is."""
    reason: str
    suggested_db: float | None = None
    """The gain to set, where the one in force is known and may be set."""


def gain_advice(measured: Measured, receiver: Receiver) -> GainAdvice:
    """The gain that a receiver should have here."""
    change_db, reason = _gain_change(measured)
    if measured.gain_db is None or not change_db or receiver.kind not in TUNED_BY_US:
        return GainAdvice(change_db, reason)
    wanted_db = measured.gain_db + change_db
    steps_db = [step.set_db for step in receiver.calibration.gain_steps] or [wanted_db]
    return GainAdvice(change_db, reason, min(steps_db, key=lambda step: abs(step - wanted_db)))


def _gain_change(measured: Measured) -> tuple[float, str]:
    clipped = measured.count.clipped_fraction
    if clipped > MAX_CLIPPED:
        down_db = LARGE_STEP_DOWN_DB if clipped > MUCH_CLIPPED else STEP_DOWN_DB
        return -down_db, f"{clipped:.2%} clipped; expected under {MAX_CLIPPED:.2%}"
    if measured.quantisation_dbfs is None:
        return 0.0, "nothing clipped"
    over_db = measured.noise_dbfs - measured.quantisation_dbfs
    room_db = -measured.peak_dbfs - HEADROOM_DB
    noise = f"noise {over_db:.0f} dB over the converter's steps"
    if over_db < LEAST_OVER_QUANTISATION_DB:
        up_db = round(min(LEAST_OVER_QUANTISATION_DB - max(over_db, 0.0), room_db))
        if up_db >= 1:
            return float(up_db), f"{noise}; expected {LEAST_OVER_QUANTISATION_DB:.0f} or more"
        return 0.0, f"{noise}, but strong signals leave no room for more gain"
    if over_db > MOST_OVER_QUANTISATION_DB and room_db < 0:
        down_db = round(over_db - MOST_OVER_QUANTISATION_DB)
        return -float(max(1, down_db)), f"{noise}, and strong signals need the room"
    return 0.0, noise


def warnings(measured: Measured, receiver: Receiver) -> Iterator[str]:
    """What is wrong with one receiver, or will be; one line each."""
    if receiver.agc:
        yield "agc is on: its levels say nothing of distance; set gain_db instead"
    if measured.count.clipped_fraction > MAX_CLIPPED:
        yield f"{measured.count.clipped:,} samples clipped ({measured.count.clipped_fraction:.2%})"
    if measured.count.lost or measured.count.dropped:
        yield f"{measured.count.lost:,} samples lost, {measured.count.dropped:,} dropped"
    yield from _rate_warnings(measured, receiver)
    for name in () if receiver.scan else measured.out_of_band:
        yield f"channel {name!r} lies outside its band"
    for channel in measured.channels:
        yield from _channel_warnings(measured, channel.channel.name)


def _rate_warnings(measured: Measured, receiver: Receiver) -> Iterator[str]:
    rate_hz = measured.measured_rate_hz
    if rate_hz is None or not receiver.follows_clock:
        return
    off = rate_hz / measured.sample_rate_hz - 1
    if abs(off) > RATE_TOLERANCE + ARRIVAL_S / measured.duration_s:
        yield f"gives {rate_hz:,.0f} samples a second: {off:+.1%} off its rate (USB, or CPU)"


def _channel_warnings(measured: Measured, name: str) -> Iterator[str]:
    found = next(c for c in measured.channels if c.channel.name == name)
    channel = found.channel
    offset_hz = abs(channel.frequency_hz - measured.center_freq_hz)
    column_hz = measured.sample_rate_hz / len(measured.mean)
    at_spike = offset_hz - channel.bandwidth_hz / 2 <= 2 * column_hz
    if at_spike and measured.dc_over_noise_db > SPIKE_DB:
        yield (
            f"channel {name!r} lies on the spike at the centre "
            f"({measured.dc_over_noise_db:.0f} dB over the noise): move center_freq_hz"
        )
    if offset_hz + channel.bandwidth_hz / 2 > EDGE_SHARE * measured.sample_rate_hz / 2:
        yield f"channel {name!r} lies at the band's edge, where the tuner's filter falls off"
    if found.noise_floor_dbfs is None:
        yield f"channel {name!r}: too short for a noise floor"
    if channel.mode == "burst" and (found.occupancy or 0.0) > ALWAYS_OPEN:
        yield f"channel {name!r} is open all the time: a carrier, or open_db is too low"


def neighbours(places: Sequence[tuple[str, Place]]) -> Iterator[str]:
    """Receivers that stand in one place, and therefore hear the same."""
    for (one, here), (other, there) in combinations(places, 2):
        apart_m = float(
            distance_m(
                here.latitude_deg, here.longitude_deg, there.latitude_deg, there.longitude_deg
            )
        )
        if apart_m < SAME_PLACE_M:
            yield f"{one} and {other} stand {apart_m:.0f} m apart: together they say little more"


ARRIVAL_S = 0.1
"""How uneven blocks may arrive: over a few seconds it weighs, over twenty it does not."""
