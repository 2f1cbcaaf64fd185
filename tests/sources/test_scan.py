"""A receiver that hops."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.config_file import parse_config
from heimdall_edge.config_kinds import RtlTcp
from heimdall_edge.config_receivers import Receiver, Scan
from heimdall_edge.config_simulation import SimulatedReceiver, Simulation
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import Surroundings, source_of
from heimdall_edge.sources.recording import RecordingSource
from heimdall_edge.sources.rtl_tcp import RtlTcpSource
from heimdall_edge.sources.scan import ScanSource
from heimdall_edge.sources.simulated import SimulatedSource
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import NS_PER_S, IQBlock, Place, ReceiverInfo

from ..emulators.rtl_tcp_server import RtlTcpServer
from ..emulators.tone import Tone, peak_hz
from .contract import IQSourceContract, missing_before

RATE_HZ = 250e3
A_HZ, B_HZ, C_HZ = 446.1e6, 145.5e6, 868.3e6
START_UTC_NS = 1_800_000_000_000_000_000


class Tuner:
    """A source of scripted blocks; a block is how many samples it has, and what it lacks before."""

    may_wait, progress = True, 0.0

    def __init__(self, *blocks, device=None, refuses=False):
        self.device = device
        self.tuned = []
        self.is_closed = False
        self._blocks, self._refuses = blocks, refuses
        self._center_hz = A_HZ

    def open(self):
        pass

    def tune(self, center_freq_hz):
        if self._refuses:
            raise SourceError("rx: the tuner does not answer")
        self.tuned.append(center_freq_hz)
        self._center_hz = center_freq_hz

    def blocks(self):
        index = 0
        for n_samples, missing in self._blocks:
            index += sum(missing.values())
            numbers = np.arange(2 * index, 2 * (index + n_samples)) % 251
            yield IQBlock(
                samples=numbers.astype(np.uint8),
                datatype="cu8",
                sample_rate_hz=1000.0,
                center_freq_hz=self._center_hz,
                sample_start=index,
                start_utc_ns=START_UTC_NS + index * NS_PER_S // 1000,
                **missing,
            )
            index += n_samples

    def close(self):
        self.is_closed = True


def scanned(tuner, *, centers_hz=(A_HZ, B_HZ), dwell_s=0.2, settle_s=0.0):
    return list(
        ScanSource(tuner, centers_hz=centers_hz, dwell_s=dwell_s, settle_s=settle_s).blocks()
    )


def simulated(*, duration_s=2.0, pace="fast", block_samples=12_500, clocks=None):
    return SimulatedSource(
        receiver=Receiver(
            id="rx",
            kind="simulated",
            center_freq_hz=A_HZ,
            sample_rate_hz=RATE_HZ,
            simulated=SimulatedReceiver(pace=pace, block_samples=block_samples),
        ),
        place=Place(45.0, 7.6),
        simulation=Simulation(duration_s=duration_s),
        start_utc_ns=START_UTC_NS,
        **(clocks or {}),
    )


class TestAScanKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self):
        return ScanSource(simulated(), centers_hz=(A_HZ, B_HZ), dwell_s=0.3, settle_s=0.12)

    @pytest.fixture
    def lasting_source(self):
        at_start = {"utc_ns": lambda: START_UTC_NS, "monotonic_ns": iter_of(0, 1.1)}
        inner = simulated(duration_s=60.0, pace="real_time", block_samples=250_000, clocks=at_start)
        return ScanSource(inner, centers_hz=(A_HZ, B_HZ), dwell_s=0.1, settle_s=0.1)

    @pytest.fixture
    def counts(self):
        return None

    def test_every_sample_is_counted_once(self, blocks):
        received = sum(block.n_samples for block in blocks)
        discarded = sum(block.discarded_samples for block in blocks)
        assert discarded > 0
        assert blocks[-1].sample_start + blocks[-1].n_samples == received + discarded


def iter_of(*moments_s):
    """A clock that tells these moments, and stays at the last."""
    left = list(moments_s)

    def monotonic_ns():
        return round((left.pop(0) if len(left) > 1 else left[0]) * NS_PER_S)

    return monotonic_ns


def test_it_stays_its_time_on_each_centre_and_starts_over_after_the_last():
    tuner = Tuner(*[(100, {})] * 9)
    blocks = scanned(tuner, centers_hz=(A_HZ, B_HZ, C_HZ))
    assert [b.center_freq_hz for b in blocks] == [
        A_HZ, A_HZ, B_HZ, B_HZ, C_HZ, C_HZ, A_HZ, A_HZ, B_HZ,
    ]  # fmt: skip
    assert tuner.tuned == [B_HZ, C_HZ, A_HZ, B_HZ]


def test_dwell_is_in_the_time_that_samples_tell_lost_ones_included():
    blocks = scanned(Tuner((100, {}), (100, {"lost_samples": 300}), (100, {})))
    assert [b.center_freq_hz for b in blocks] == [A_HZ, A_HZ, B_HZ]
    assert [b.lost_samples for b in blocks] == [0, 300, 0]


def test_what_settles_is_cut_off_and_counted():
    blocks = scanned(Tuner(*[(100, {})] * 4), settle_s=0.13)
    assert [b.n_samples for b in blocks] == [100, 100, 70]
    cut = blocks[2]
    assert cut.discarded_samples == 130
    assert cut.sample_start == 330
    assert cut.start_utc_ns == START_UTC_NS + 330_000_000
    assert np.array_equal(cut.samples, (np.arange(660, 800) % 251).astype(np.uint8))


def test_what_the_inner_source_has_discarded_already_is_not_discarded_twice():
    blocks = scanned(
        Tuner((100, {}), (100, {}), (100, {"discarded_samples": 130}), (100, {})), settle_s=0.13
    )
    assert [b.n_samples for b in blocks] == [100, 100, 100, 100]
    assert [b.discarded_samples for b in blocks] == [0, 0, 130, 0]


def test_losses_while_it_settles_are_said_by_the_next_block_that_is_given():
    blocks = scanned(
        Tuner((200, {}), (50, {"lost_samples": 7, "dropped_samples": 5}), (100, {})),
        settle_s=0.1,
    )
    assert [b.sample_start for b in blocks] == [0, 300]
    assert blocks[1].lost_samples == 7
    assert blocks[1].dropped_samples == 5
    assert blocks[1].discarded_samples == 88


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 300),
            st.fixed_dictionaries(
                {name: st.integers(0, 50) for name in ("lost_samples", "discarded_samples")}
            ),
        ),
        max_size=30,
    ),
    st.floats(0.05, 1.0),
    st.floats(0.0, 0.5),
)
def test_no_gap_is_hidden_and_no_sample_given_before_it_settled(script, dwell_s, settle_s):
    blocks = scanned(Tuner(*script), dwell_s=dwell_s, settle_s=settle_s)
    for before, block in pairwise(blocks):
        missing = missing_before(block)
        assert block.sample_start == before.sample_start + before.n_samples + missing
        if block.center_freq_hz != before.center_freq_hz:
            assert missing >= settle_s * 1000
    for block in blocks:
        assert block.samples[0] == 2 * block.sample_start % 251


def test_the_tuners_own_failure_is_the_receivers():
    with pytest.raises(SourceError, match="the tuner does not answer"):
        scanned(Tuner((300, {}), (300, {}), refuses=True))


def test_a_tuner_that_was_closed_meanwhile_ends_the_scan_and_is_no_failure():
    tuner = Tuner((300, {}), (300, {}), refuses=True)
    scan = ScanSource(tuner, centers_hz=(A_HZ, B_HZ), dwell_s=0.2, settle_s=0.0)
    blocks = scan.blocks()
    next(blocks)
    scan.close()
    assert tuner.is_closed
    assert list(blocks) == []


def test_a_source_that_cannot_be_tuned_is_refused():
    file = RecordingSource(path=Path("x.cu8"), sample_rate_hz=1e6, center_freq_hz=1e8)
    with pytest.raises(SourceDataError, match="RecordingSource cannot be tuned"):
        ScanSource(file, centers_hz=(A_HZ, B_HZ), dwell_s=1.0, settle_s=0.0)


def test_the_device_says_that_it_scans():
    tuner = Tuner(device="R820T, serial 1")
    scan = ScanSource(tuner, centers_hz=(A_HZ, B_HZ), dwell_s=1.0, settle_s=0.0)
    assert scan.device == "R820T, serial 1, scans 2 centres"
    nameless = ScanSource(Tuner(), centers_hz=(A_HZ, B_HZ), dwell_s=1.0, settle_s=0.0)
    assert nameless.device is None


# ── from the configuration ──

CONFIG = """
[station]
latitude_deg = 45.0
longitude_deg = 7.6

[[channels]]
name = "a"
frequency_hz = 446_006_250.0

[[channels]]
name = "b"
frequency_hz = 145_500_000.0

[[receivers]]
id = "rx"
kind = "simulated"
sample_rate_hz = 250_000.0
simulated = { pace = "fast", block_samples = 12_500 }
scan = { centers_hz = [446_040_000.0, 145_540_000.0], dwell_s = 0.2, settle_s = 0.1 }

[simulation]
duration_s = 1.0
"""


def surroundings(receiver, simulation=None):
    simulation = simulation or Simulation()
    return Surroundings(
        info=ReceiverInfo("s", receiver.id, Place(45.0, 7.6)),
        channels=(),
        simulation=simulation,
        start_utc_ns=START_UTC_NS,
        truth=TruthLog(simulation=simulation, start_utc_ns=START_UTC_NS),
        parse=lambda _line: pytest.fail("no lines here"),
        on_refused=lambda *_: None,
    )


def test_a_receiver_with_a_scan_table_hops():
    config = parse_config(CONFIG)
    (receiver,) = config.receivers
    source = source_of(receiver, surroundings(receiver, config.simulation))
    assert isinstance(source, ScanSource)
    assert source.may_wait
    source.open()
    blocks = list(source.blocks())
    centers = [b.center_freq_hz for b in blocks]
    assert set(centers) == set(receiver.scan.centers_hz)
    assert centers[0] == 446_040_000.0
    for before, block in pairwise(blocks):
        hopped = block.center_freq_hz != before.center_freq_hz
        assert block.discarded_samples == (0.1 * RATE_HZ if hopped else 0)
    assert source.progress == 1.0


def test_a_dongle_behind_rtl_tcp_hops_and_its_tone_is_found_at_each_centre():
    tone_hz = 446_150_000.0
    with RtlTcpServer(tone=Tone(tone_hz)) as server:
        receiver = Receiver(
            id="rx",
            kind="rtl_tcp",
            sample_rate_hz=1_024_000.0,
            gain_db=28.0,
            scan=Scan(centers_hz=(446.0e6, 446.3e6), dwell_s=0.3, settle_s=0.15),
            rtl_tcp=RtlTcp(host=server.host, port=server.port),
        )
        source = ScanSource.of(RtlTcpSource(receiver=receiver), receiver.scan)
        source.open()
        assert source.device.endswith(", scans 2 centres")
        blocks = list(islice(source.blocks(), 20))
        source.close()
    centers = [block.center_freq_hz for block in blocks]
    assert {446.0e6, 446.3e6} == set(centers)
    for before, block in pairwise(blocks):
        if block.center_freq_hz != before.center_freq_hz:
            assert missing_before(block) >= 0.15 * block.sample_rate_hz
        assert block.sample_start == before.sample_start + before.n_samples + missing_before(block)
        assert peak_hz(block) == pytest.approx(tone_hz, abs=100)
