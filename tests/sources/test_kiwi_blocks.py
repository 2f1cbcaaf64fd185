from __future__ import annotations

import pytest

from heimdall_edge.sources.kiwi_blocks import KiwiBlocks
from heimdall_edge.types import Place
from tests.emulators.kiwi_air import Noise
from tests.sources.kiwi_frames_by_hand import BEGUN_UTC_NS, NOMINAL_HZ, Host, frame, metered


def blocks_of(frames, *, gain_db=50.0, place=None):
    host = Host()
    blocks = KiwiBlocks(
        nominal_rate_hz=NOMINAL_HZ,
        center_freq_hz=77_500.0,
        gain_db=gain_db,
        place=place,
        host=host,
    )
    out = []
    for number, one in enumerate(frames):
        host.now_ns = (number + 1) * 42_662_613
        out += blocks.take(one, host.now_ns)
    return out


def test_four_frames_make_a_block_and_the_first_two_are_discarded():
    out = blocks_of(frame(n) for n in range(42))
    assert [block.n_samples for block in out] == [2048] * 10
    assert [block.discarded_samples for block in out] == [1024, *[0] * 9]
    assert [block.sample_start for block in out] == [1024 + 2048 * n for n in range(10)]
    assert {block.datatype for block in out} == {"ci16_be"}
    assert not any(block.samples.flags.writeable for block in out)


def test_a_loss_ends_a_block_and_is_said_on_the_next():
    out = blocks_of(frame(n) for n in [*range(33), *range(35, 60)])
    starts = [(b.sample_start // 512, b.n_samples // 512, b.lost_samples) for b in out[7:9]]
    assert starts == [(30, 3, 0), (35, 4, 1024)]


def test_samples_are_the_bytes_of_the_wire():
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    out = blocks_of(
        frame(n, payload=air.frame(n).samples.astype(">i2").tobytes()) for n in range(30)
    )
    assert out[0].samples[:1024].tolist() == air.frame(2).samples.tolist()


def test_level_gain_and_place_are_said_where_they_are_known():
    air, place = Noise(begun_utc_ns=BEGUN_UTC_NS), Place(50.0155, 9.0108, 115.0, 10.0)
    last = blocks_of(metered(lambda n: air.frame(n).samples, range(90)), place=place)[-1]
    assert last.full_scale_dbm == pytest.approx(-23.4, abs=0.1)
    assert (last.gain_db, last.place) == (50.0, place)


def test_an_automatic_gain_has_no_level():
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    last = blocks_of(metered(lambda n: air.frame(n).samples, range(90)), gain_db=None)[-1]
    assert (last.full_scale_dbm, last.gain_db) == (None, None)
