"""The simulated receiver as a source."""

import json
import math
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.config_file import load_config
from heimdall_edge.config_receivers import Clock, Receiver
from heimdall_edge.config_simulation import (
    Propagation,
    SimulatedReceiver,
    Simulation,
    Transmitter,
)
from heimdall_edge.errors import SourceError
from heimdall_edge.geodesy import distance_m
from heimdall_edge.sources.base import Tunable
from heimdall_edge.sources.simulated import (
    BACKLOG_S,
    CHUNK_SAMPLES,
    SETTLING_S,
    SimulatedSource,
)
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import ClockSource, Place

from .contract import IQSourceContract

RATE_HZ = 250e3
CENTER_HZ = 446.1e6
START_UTC_NS = 1_800_000_000_000_000_000
NEAR, FAR = Place(45.0, 7.6), Place(45.04, 7.55)
TRANSMITTER = Transmitter(
    name="tx",
    latitude_deg=45.01,
    longitude_deg=7.62,
    frequency_hz=CENTER_HZ + 30e3,
    first_on_s=0.2,
    on_s=0.5,
    off_s=0.5,
)
SIMULATION = Simulation(
    duration_s=1.0,
    transmitters=(TRANSMITTER,),
    propagation=Propagation(shadowing_sigma_db=0.0),
)


def changed(**settings):
    """The simulation with another transmitter."""
    sender = TRANSMITTER.model_copy(update=settings)
    return SIMULATION.model_copy(update={"transmitters": (sender,)})


def source(*, place=NEAR, simulation=SIMULATION, receiver_id="rx", clock=None, **settings):
    """A fast receiver; settings are those of [receivers.simulated]."""
    truth, clocks = settings.pop("truth", None), settings.pop("clocks", {})
    return SimulatedSource(
        receiver=Receiver(
            id=receiver_id,
            kind="simulated",
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            gain_db=40.0,
            clock=clock or Clock(),
            simulated=SimulatedReceiver(**{"pace": "fast", "full_scale_dbm": -40.0, **settings}),
        ),
        place=place,
        simulation=simulation,
        start_utc_ns=START_UTC_NS,
        truth=truth,
        **clocks,
    )


def samples_of(receiver):
    receiver.open()
    return np.concatenate([block.samples for block in receiver.blocks()])


def iq_of(receiver):
    values = (samples_of(receiver).astype(np.float64) - 127.5) / 127.5
    return values[0::2] + 1j * values[1::2]


@lru_cache
def reference_samples():
    return samples_of(source())


class SlowReader:
    """Clocks that stand still, and go on by a step each time that the monotonic one is read."""

    def __init__(self, *steps_s):
        self._steps_s = list(steps_s)
        self._now_ns = 0

    def clocks(self, opened_at_s=0.0):
        utc_ns = START_UTC_NS + round(opened_at_s * 1e9)
        return {"utc_ns": lambda: utc_ns, "monotonic_ns": self._monotonic_ns}

    def _monotonic_ns(self):
        self._now_ns += round((self._steps_s.pop(0) if self._steps_s else 0) * 1e9)
        return self._now_ns


class TestASimulatedReceiverKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self):
        return source(block_samples=65_536)

    @pytest.fixture
    def lasting_source(self):
        clocks = SlowReader(0, 1.1).clocks()  # the first block's second has passed: no more do
        endless = SIMULATION.model_copy(update={"duration_s": None})
        return source(simulation=endless, pace="real_time", block_samples=250_000, clocks=clocks)

    @pytest.fixture
    def counts(self):
        return 250_000, 0


class TestAReceiverThatLostSamplesKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self):
        clocks = SlowReader(0, 0.5, BACKLOG_S + 1.0).clocks()
        lasting = SIMULATION.model_copy(update={"duration_s": 3.5})
        return source(simulation=lasting, pace="real_time", block_samples=100_000, clocks=clocks)

    @pytest.fixture
    def lasting_source(self):
        clocks = SlowReader(0, 0.5).clocks()
        return source(pace="real_time", block_samples=100_000, clocks=clocks)

    @pytest.fixture
    def counts(self):
        return 200_000, 675_000


# ── determinism ──


def test_the_same_seed_gives_the_same_samples_and_another_does_not():
    assert np.array_equal(reference_samples(), samples_of(source()))
    other = samples_of(source(simulation=SIMULATION.model_copy(update={"seed": 2})))
    assert not np.array_equal(reference_samples(), other)
    assert not np.array_equal(reference_samples(), samples_of(source(receiver_id="other")))


@settings(max_examples=8, deadline=None)
@given(st.integers(256, 3 * CHUNK_SAMPLES))
def test_samples_do_not_depend_on_the_block_size(block_samples):
    assert np.array_equal(reference_samples(), samples_of(source(block_samples=block_samples)))


def test_a_receiver_opened_later_hears_what_is_on_the_air_then():
    late = source(
        pace="real_time", block_samples=1_000, clocks=SlowReader(0, 0.01).clocks(opened_at_s=0.3)
    )
    late.open()
    block = next(late.blocks())
    assert block.sample_start == 0
    assert block.start_utc_ns - START_UTC_NS == pytest.approx(300_000_000, abs=2e8)
    assert np.array_equal(block.samples, reference_samples()[150_000:152_000])


# ── what is received ──


def power_between(iq, start_s, end_s):
    return np.mean(np.abs(iq[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]) ** 2)


@pytest.mark.parametrize("offset_db", [0.0, -7.0])
def test_the_level_is_the_link_budget(offset_db):
    iq = iq_of(source(dc_offset=0.0, antenna_offset_db=offset_db))
    signal = power_between(iq, 0.25, 0.65) - power_between(iq, 0.75, 1.0)
    meters = math.hypot(float(distance_m(45.0, 7.6, 45.01, 7.62)), 1.5)
    loss_db = 20 * math.log10(4 * math.pi * (CENTER_HZ + 30e3) / 299_792_458)
    level_dbm = 30 - loss_db - 30 * math.log10(meters) + offset_db
    assert 10 * math.log10(signal) == pytest.approx(level_dbm + 40 - -40, abs=0.2)


def test_noise_is_there_without_any_transmitter():
    empty = Simulation(duration_s=0.2)
    iq = iq_of(source(simulation=empty, man_made_noise_db=30.0, dc_offset=0.0))
    expected_dbm = -173.975 + 10 * math.log10(RATE_HZ) + 10 * math.log10(10**0.6 + 10**3 - 1)
    measured = 10 * math.log10(np.mean(np.abs(iq) ** 2) - 2 / 12 / 127.5**2)
    assert measured == pytest.approx(expected_dbm + 40 - -40, abs=0.2)


def test_two_receivers_hear_it_as_far_apart_as_the_signal_takes():
    wide = changed(modulation="ook", symbol_rate_hz=20e3, frequency_hz=CENTER_HZ, power_dbm=40.0)
    quiet = {"simulation": wide, "dc_offset": 0.0, "man_made_noise_db": 0.0}
    near, far = (
        np.fft.fft(iq_of(source(place=place, receiver_id=receiver_id, **quiet)))
        for place, receiver_id in ((NEAR, "near"), (FAR, "far"))
    )
    frequency = np.fft.fftfreq(len(near))
    cross = np.where(np.abs(frequency) < 0.05, far * np.conj(near), 0)
    peak = np.argmax(np.abs(np.fft.ifft(cross)))  # whole samples; the rest is a slope of phase
    rest = cross * np.exp(2j * np.pi * frequency * peak)
    rest *= np.exp(-1j * np.angle(rest.sum()))
    slope = (frequency * rest.imag).sum() / (frequency**2 * np.abs(rest)).sum()
    difference_m = distance_m(45.01, 7.62, 45.04, 7.55) - distance_m(45.01, 7.62, 45.0, 7.6)
    expected = float(difference_m) / 299_792_458 * RATE_HZ
    assert peak - slope / (2 * np.pi) == pytest.approx(expected, abs=0.02)


def test_a_wrong_crystal_shifts_frequency_and_stretches_time():
    tone = changed(modulation="cw", frequency_hz=CENTER_HZ, on_s=0.7)
    iq = iq_of(source(simulation=tone, frequency_error_ppm=100.0, dc_offset=0.0))
    on = iq[60_000:200_000]
    turns = np.unwrap(np.angle(on)) / (2 * np.pi)
    slope_hz = np.polyfit(np.arange(len(on)), turns, 1)[0] * RATE_HZ
    assert slope_hz == pytest.approx(-CENTER_HZ * 1e-4 / (1 + 1e-4), abs=0.5)
    smooth = np.convolve(np.abs(iq), np.ones(32) / 32, "same")
    edges = np.flatnonzero(np.diff((smooth > np.median(np.abs(on)) / 2).astype(int)))
    assert len(edges) == 2
    assert edges[1] - edges[0] == pytest.approx((0.7 - 0.5e-3) * RATE_HZ * (1 + 1e-4), abs=8)


def test_a_signal_over_full_scale_is_clipped():
    samples = samples_of(source(simulation=changed(power_dbm=60.0)))
    on = samples[2 * 60_000 : 2 * 160_000]
    assert np.isin(on, (0, 255)).mean() > 0.3
    assert not np.isin(samples[: 2 * 40_000], (0, 255)).any()


# ── blocks ──


def test_stamps_are_true_time_and_the_error_of_the_clock():
    gnss = Clock(source="gnss", sigma_s=1e-6)
    receiver = source(clock=gnss, frequency_error_ppm=50.0, block_samples=50_000)
    receiver.open()
    blocks = list(receiver.blocks())
    error_ns = blocks[0].start_utc_ns - START_UTC_NS
    assert 0 < abs(error_ns) < 5_000
    for block in blocks:
        true_ns = block.sample_start * 1e9 / (RATE_HZ * (1 + 50e-6))
        assert block.start_utc_ns - START_UTC_NS - error_ns == pytest.approx(true_ns, abs=1)
        assert block.clock.source is ClockSource.GNSS
        assert block.clock.sigma_s == 1e-6
        assert block.clock.locked
        assert (block.sample_rate_hz, block.center_freq_hz) == (RATE_HZ, CENTER_HZ)
    free = source()
    free.open()
    assert not next(free.blocks()).clock.locked


def test_it_ends_with_the_simulation():
    receiver = source(block_samples=100_000)
    receiver.open()
    assert [block.n_samples for block in receiver.blocks()] == [100_000, 100_000, 50_000]


def test_only_a_fast_receiver_may_wait():
    assert source().may_wait
    assert not source(pace="real_time").may_wait


def test_in_real_time_a_block_comes_when_its_last_sample_has_passed():
    receiver = SimulatedSource(
        receiver=Receiver(
            id="rx",
            kind="simulated",
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            simulated=SimulatedReceiver(block_samples=12_500),
        ),
        place=NEAR,
        simulation=SIMULATION,
        start_utc_ns=time.time_ns(),
    )
    receiver.open()
    opened_s = time.monotonic()
    for count, _ in enumerate(receiver.blocks(), start=1):
        assert time.monotonic() - opened_s > 0.05 * count - 0.02
        if count == 4:
            break
    assert time.monotonic() - opened_s < 0.2 + 0.5


def test_a_reader_that_is_late_gets_the_backlog_at_once_and_loses_what_is_older():
    clocks = SlowReader(0, 0.4, BACKLOG_S, BACKLOG_S + 1.0).clocks()
    lasting = SIMULATION.model_copy(update={"duration_s": 10.0})
    receiver = source(simulation=lasting, pace="real_time", block_samples=100_000, clocks=clocks)
    receiver.open()
    blocks = receiver.blocks()
    given = [next(blocks) for _ in range(3)]
    assert [block.lost_samples for block in given[:2]] == [0, 0]
    assert given[2].lost_samples > BACKLOG_S * RATE_HZ
    expected = given[1].sample_start + given[1].n_samples + given[2].lost_samples
    assert given[2].sample_start == expected


def test_truth_is_written_by_whichever_receiver_is_first(tmp_path):
    network = SIMULATION.model_copy(update={"truth_path": tmp_path / "truth.jsonl"})
    truth = TruthLog(simulation=network, start_utc_ns=START_UTC_NS)
    for receiver_id in ("a", "b"):
        samples_of(source(simulation=network, receiver_id=receiver_id, truth=truth))
    truth.close()
    (line,) = Path(tmp_path / "truth.jsonl").read_text().splitlines()
    assert json.loads(line)["start_utc_ns"] == START_UTC_NS + 200_000_000


# ── the demo ──


def channel_power(iq, *, start_s, end_s, offset_hz):
    cut = iq[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
    spectrum = np.abs(np.fft.fft(cut) / len(cut)) ** 2
    return spectrum[np.abs(np.fft.fftfreq(len(cut), 1 / RATE_HZ) - offset_hz) < 6_250].sum()


def test_the_demo_speaks_within_three_seconds_and_is_heard_where_it_can_be_located():
    config = load_config(Path(__file__).parents[2] / "heimdall_edge" / "data" / "demo.toml")
    simulation = config.simulation.model_copy(update={"duration_s": 3.0})
    heard, timed = 0, 0
    for receiver in config.receivers:
        fast = receiver.simulated.model_copy(update={"pace": "fast"})
        iq = iq_of(
            SimulatedSource(
                receiver=receiver.model_copy(update={"simulated": fast}),
                place=Place(receiver.latitude_deg, receiver.longitude_deg),
                simulation=simulation,
                start_utc_ns=START_UTC_NS,
            )
        )
        offset_hz = config.channels[0].frequency_hz - receiver.center_freq_hz
        noise = channel_power(iq, start_s=0.1, end_s=0.9, offset_hz=offset_hz)
        speech = channel_power(iq, start_s=2.1, end_s=2.9, offset_hz=offset_hz)
        is_heard = speech > noise * 10 ** (config.channels[0].open_db / 10)
        heard += is_heard
        timed += is_heard and receiver.clock.source == "gnss"
    assert heard >= 5
    assert timed >= 3


# ── tuning ──


def hopped(receiver, *, after_blocks, to_hz):
    """The blocks of a receiver that is tuned to another centre after some of them."""
    receiver.open()
    blocks = []
    for block in receiver.blocks():
        blocks.append(block)
        if len(blocks) == after_blocks:
            receiver.tune(to_hz)
    return blocks


class TestASimulatedReceiverThatIsTunedKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self):
        receiver = source(block_samples=50_000)
        given = receiver.blocks

        def blocks():
            for number, block in enumerate(given()):
                yield block
                if number == 1:
                    receiver.tune(CENTER_HZ + 1e6)

        receiver.blocks = blocks
        return receiver

    @pytest.fixture
    def lasting_source(self):
        clocks = SlowReader(0, 0.5).clocks()
        return source(pace="real_time", block_samples=100_000, clocks=clocks)

    @pytest.fixture
    def blocks(self, source):
        source.open()
        blocks = list(source.blocks())
        assert blocks[2].discarded_samples == 12_500
        return blocks

    @pytest.fixture
    def counts(self):
        return 250_000 - 12_500, 12_500  # what settled is counted apart: see below

    def test_every_sample_is_counted_once(self, blocks, counts):
        received, discarded = counts
        assert sum(block.n_samples for block in blocks) == received
        assert sum(block.discarded_samples for block in blocks) == discarded
        assert blocks[-1].sample_start + blocks[-1].n_samples == received + discarded


def test_a_simulated_receiver_is_tunable():
    assert isinstance(source(), Tunable)


def test_after_tuning_blocks_are_of_the_new_centre_and_what_settled_is_counted():
    before, settled, *_ = blocks = hopped(
        source(block_samples=50_000), after_blocks=1, to_hz=CENTER_HZ + 1e6
    )
    assert [b.center_freq_hz for b in blocks] == [CENTER_HZ] + 4 * [CENTER_HZ + 1e6]
    assert before.discarded_samples == 0
    assert settled.discarded_samples == SETTLING_S * RATE_HZ
    assert settled.sample_start == before.n_samples + settled.discarded_samples
    assert [b.discarded_samples for b in blocks[2:]] == [0, 0, 0]


def test_the_same_transmitter_stands_elsewhere_in_the_band_after_tuning():
    tone = changed(modulation="cw", on_s=0.7)
    _, _, after, *_ = hopped(
        source(simulation=tone, block_samples=50_000), after_blocks=1, to_hz=CENTER_HZ + 50e3
    )
    values = (after.samples.astype(np.float64) - 127.5) / 127.5
    spectrum = np.abs(np.fft.fft(values[0::2] + 1j * values[1::2]))
    peak_hz = np.fft.fftfreq(len(spectrum), 1 / RATE_HZ)[np.argmax(spectrum)]
    assert peak_hz == pytest.approx(-20e3, abs=10)


def test_a_centre_that_is_tuned_to_already_changes_nothing():
    blocks = hopped(source(block_samples=50_000), after_blocks=1, to_hz=CENTER_HZ)
    assert np.array_equal(np.concatenate([b.samples for b in blocks]), reference_samples())


def test_a_receiver_that_is_not_open_cannot_be_tuned():
    with pytest.raises(SourceError, match="rx: simulated receiver is not open"):
        source().tune(CENTER_HZ + 1e6)


# ── faults ──


def test_blocks_before_open_are_refused():
    with pytest.raises(SourceError, match="rx: simulated receiver is not open"):
        next(source().blocks())


def test_a_receiver_without_a_frequency_is_refused():
    receiver = Receiver(id="rx", kind="recording", recording={"path": Path("x")})
    with pytest.raises(ValueError, match="rx: a simulated receiver needs a frequency"):
        SimulatedSource(receiver=receiver, place=NEAR, simulation=SIMULATION, start_utc_ns=0)
