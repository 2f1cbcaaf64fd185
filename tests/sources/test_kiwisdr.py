from __future__ import annotations

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.config_file import parse_config
from heimdall_edge.config_kinds import KiwiSdr
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.config_simulation import Simulation
from heimdall_edge.errors import SourceError
from heimdall_edge.sources import SharedByReceivers, Surroundings, source_of
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.kiwisdr import KiwiSource
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import ClockSource, Place, ReceiverInfo
from tests.conftest import REPOSITORY
from tests.emulators.kiwi_air import FRAME_SAMPLES, AirTime, Noise
from tests.emulators.kiwi_server import KiwiServer
from tests.sources.contract import IQSourceContract
from tests.sources.kiwi_frames_by_hand import week_ns
from tests.sources.kiwi_reading import BEGUN_UTC_NS, SPEED, opened, until


@pytest.fixture
def world(kiwi_world):
    return kiwi_world


@pytest.fixture
def server(kiwi_server):
    return kiwi_server


@pytest.fixture
def source_for(kiwi_source_for):
    return kiwi_source_for


class Finite(KiwiSource):
    """A source that is closed after two seconds of air, as no server ever does by itself."""

    def blocks(self):
        for block in super().blocks():
            yield block
            if block.sample_start > 30_000:
                self.close()
                return


class TestKiwiSourceKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self, server, source_for):
        return source_for(server, kind=Finite)

    @pytest.fixture
    def lasting_source(self, server, source_for):
        server.stall_after = 30
        return source_for(server, stall_s=1e4)

    @pytest.fixture
    def counts(self):
        return (16 * 2048, 0)  # the first block that begins after 30,000 begins at 31,744


# ── what it gives ─────────────────────────────────────────────────────────────────────────


def samples_of(server, block):
    """What was on the air, by the block's own count."""
    first = server.first_number + block.sample_start // FRAME_SAMPLES
    frames = [server.air.frame(first + n).samples for n in range(block.n_samples // FRAME_SAMPLES)]
    return np.concatenate(frames)


def off_ns(server, block):
    """By how much a block's time is off the truth."""
    first = server.first_number + block.sample_start / FRAME_SAMPLES
    elapsed_ns = block.start_utc_ns - server.air.begun_utc_ns
    return elapsed_ns - first * FRAME_SAMPLES * 1e9 / server.air.rate_hz


def test_blocks_carry_the_air_s_own_samples_times_and_levels(server, source_for):
    source = source_for(server)
    stream = opened(source)
    blocks = until(stream, lambda block: block.sample_start > 60_000)
    for block in blocks:
        assert np.array_equal(block.samples, samples_of(server, block))
        assert abs(off_ns(server, block)) < 100
        assert block.clock.source is ClockSource.GNSS
        assert block.clock.locked
        assert block.sample_rate_hz == pytest.approx(server.air.rate_hz, rel=1e-7)
        assert block.center_freq_hz == 77_500.0
        assert block.gain_db == 50.0
    assert blocks[-1].full_scale_dbm == pytest.approx(-20.0, abs=0.1)
    assert blocks[0].place == Place(50.0155, 9.0108, 115.0, 0.0)


def test_lost_frames_are_counted_to_the_sample(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.lose_frames(7)
    blocks = until(stream, lambda block: block.lost_samples > 0)
    assert blocks[-1].lost_samples == 7 * FRAME_SAMPLES
    assert np.array_equal(blocks[-1].samples, samples_of(server, blocks[-1]))
    for before, after in pairwise(blocks):
        assert after.sample_start == before.sample_start + before.n_samples + after.lost_samples


def test_samples_that_the_server_itself_lost_are_counted_to_the_sample(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.lose_samples(340)
    blocks = until(stream, lambda block: block.lost_samples > 0)
    assert blocks[-1].lost_samples == 340
    assert abs(off_ns(server, blocks[-1])) < 200


def test_one_wrong_stamp_moves_nothing(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.outlier(3_000_000_000)
    for block in until(stream, lambda block: block.sample_start > 60_000):
        assert block.lost_samples == 0
        assert abs(off_ns(server, block)) < 100


def test_the_week_ends_under_way(source_for):
    week_s = 604_800
    end_utc_ns = (1_790_000_000 // week_s * week_s + 315_964_800 % week_s - 18) * 10**9
    assert week_ns(end_utc_ns) == 0
    begun_utc_ns = end_utc_ns - 4 * 10**9
    world = AirTime(begun_utc_ns=begun_utc_ns, speed=SPEED)
    with KiwiServer(Noise(begun_utc_ns=begun_utc_ns), time=world) as server:
        stream = opened(source_for(server, host=world))
        blocks = until(stream, lambda block: block.start_utc_ns > end_utc_ns + 4 * 10**9)
        assert blocks[0].start_utc_ns < end_utc_ns
        for block in blocks:
            assert abs(off_ns(server, block)) < 100
            assert block.lost_samples == 0


def test_without_stamps_the_host_s_time_is_given_and_not_called_locked(server, source_for):
    server.stamps = False
    source = source_for(server)
    stream = opened(source)
    assert "no GNSS stamps" in source.device
    for block in until(stream, lambda block: block.sample_start > 40_000):
        assert not block.clock.locked
        assert block.clock.source is not ClockSource.GNSS
        assert abs(off_ns(server, block)) < 5e9 * 0.5
        assert np.array_equal(block.samples, samples_of(server, block))


def test_levels_are_not_learnt_while_the_converter_overflows_or_the_meter_is_at_its_floor(
    server, source_for
):
    server.overflow = True
    source = source_for(server)
    stream = opened(source)
    assert until(stream, lambda b: b.sample_start > 30_000)[-1].full_scale_dbm is None
    server.overflow, server.meter_floor = False, True
    assert until(stream, lambda b: b.sample_start > 60_000)[-1].full_scale_dbm is None
    server.meter_floor = False
    last = until(stream, lambda b: b.full_scale_dbm is not None)[-1]
    assert last.full_scale_dbm == pytest.approx(-20.0, abs=0.1)


def test_an_automatic_gain_is_asked_for_and_gives_no_levels(server, source_for):
    source = source_for(server, wish={"agc": True})
    stream = opened(source)
    last = until(stream, lambda block: block.sample_start > 30_000)[-1]
    assert (last.gain_db, last.full_scale_dbm) == (None, None)
    assert any(words.startswith("SET agc=1 ") for words in server.commands)
    assert "gain automatic" in source.device


def test_it_says_what_was_opened(server, source_for):
    source = source_for(server)
    assert source.device is None
    source.open()
    assert source.device == (
        f"KiwiSDR v1.690, 127.0.0.1:{server.port}, 'Emulated receiver | Mainflingen', "
        "antenna 'Mini-Whip', GNSS stamps, gain 50 dB, 12.001 ksps"
    )


def test_ipv6_works_as_well(world, source_for):
    with KiwiServer(Noise(begun_utc_ns=BEGUN_UTC_NS), time=world, host="::1") as server:
        source = source_for(server)
        stream = opened(source)
        assert f"[::1]:{server.port}" in source.device
        assert until(stream, lambda _: True)


# ── close ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("phase", ["silent", "mute"])
def test_close_ends_every_phase_within_a_second(server, source_for, phase):
    server.refuse = phase
    source = source_for(server, stall_s=1e4, setup_s=1e4)
    errors = []

    def read():
        try:
            source.open()
            list(source.blocks())
        except SourceError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.4)
    assert thread.is_alive()
    began_s = time.monotonic()
    source.close()
    assert time.monotonic() - began_s < CLOSE_TIMEOUT_S
    thread.join(CLOSE_TIMEOUT_S)
    assert not thread.is_alive()


def test_a_closed_source_leaves_the_server_to_others(server, source_for):
    servers = PublicServers(least_pause_s=0)
    source = source_for(server, servers=servers)
    source.open()
    source.close()
    source_for(server, servers=servers).open()


def test_blocks_of_a_source_that_is_not_open_are_an_error(server, source_for):
    with pytest.raises(SourceError, match="is not open"):
        next(source_for(server).blocks())


# ── configuration ─────────────────────────────────────────────────────────────────────────


def around(world):
    return Surroundings(
        info=ReceiverInfo("alp", "k1", Place(47.0, 8.0)),
        channels=(Channel(name="dcf77", frequency_hz=77_500.0, bandwidth_hz=6_000.0),),
        simulation=Simulation(),
        start_utc_ns=0,
        truth=TruthLog(simulation=Simulation(), start_utc_ns=0),
        parse=lambda _: None,
        on_refused=lambda *_: None,
        shared=SharedByReceivers(host=world),
    )


@pytest.mark.parametrize("place", [{}, {"latitude_deg": 47.1, "longitude_deg": 8.4}])
def test_the_configuration_says_what_to_ask_for_and_where_it_stands(server, world, place):
    receiver = Receiver(
        id="k1",
        kind="kiwisdr",
        center_freq_hz=77_500.0,
        gain_db=40.0,
        kiwisdr=KiwiSdr(host=server.host, port=server.port, half_band_hz=4_000.0),
        **place,
    )
    source = source_of(receiver, around(world))
    source.open()
    block = next(source.blocks())
    source.close()
    assert "SET ident_user=heimdall-edge%20alp" in server.commands
    assert "SET mod=iq low_cut=-4000 high_cut=4000 freq=77.500" in server.commands
    assert any(words.endswith("manGain=40") for words in server.commands)
    assert block.gain_db == 40.0
    assert block.place == (None if place else Place(50.0155, 9.0108, 115.0, 10.0))


def test_the_documented_table_is_a_configuration():
    page = (REPOSITORY / "docs" / "receivers" / "kiwisdr.md").read_text()
    table = page.split("```toml\n")[1].split("```")[0]
    (receiver,) = parse_config(table).receivers
    assert receiver.kiwisdr.host == "kiwi.example"


def test_a_coarse_place_is_flagged_in_the_log(world, source_for, caplog):
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    with KiwiServer(air, time=world, place="(50.02, 9.01)") as server:
        source_for(server).open()
    assert "kiwi_place" in caplog.text
