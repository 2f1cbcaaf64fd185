"""What is asked of a SpyServer, after what it has."""

import struct
from dataclasses import replace

import pytest

from heimdall_edge.config_kinds import SpyServer
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.spyserver_choice import Choice, choose
from heimdall_edge.sources.spyserver_protocol import ClientSync, DeviceInfo

INFO = DeviceInfo(1, 7, 10_000_000, 8_000_000, 8, 0, 21, 24_000_000, 1_800_000_000, 12, 2, 0)
SYNC = ClientSync(False, 12, 446_000_000, 446_000_000, 446_000_000, 0, 0, 0, 0)
OURS = replace(SYNC, can_control=True)


def choice(*, rate_hz=625_000, info=INFO, sync=SYNC, **settings):
    table = SpyServer(host="sdr.example", **settings)
    return choose(table, sample_rate_hz=rate_hz, info=info, sync=sync, receiver_id="rx")


@pytest.mark.parametrize(
    ("asked_hz", "stage", "rate_hz"),
    [(2_500_000, 2, 2.5e6), (625_000, 4, 625e3), (39_063, 8, 39_062.5), (39_062, 8, 39_062.5)],
)
def test_the_stage_is_that_of_the_rate(asked_hz, stage, rate_hz):
    assert choice(rate_hz=asked_hz) == Choice(stage, rate_hz, 2, None)


@pytest.mark.parametrize("asked_hz", [10_000_000, 5_000_000, 2_400_000, 19_531.25])
def test_a_rate_that_no_allowed_stage_has_is_refused_with_the_list(asked_hz):
    with pytest.raises(SourceDataError) as caught:
        choice(rate_hz=asked_hz)
    assert str(caught.value) == (
        f"sample_rate_hz {asked_hz:.12g}: its Airspy gives "
        "2500000, 1250000, 625000, 312500, 156250, 78125, 39062.5"
    )


def test_a_server_without_any_stage_is_said():
    with pytest.raises(SourceDataError, match="gives none"):
        choice(info=replace(INFO, stages=1))


@pytest.mark.parametrize(
    ("wanted", "forced", "number"),
    [("auto", 0, 2), ("u8", 0, 1), ("f32", 0, 4), ("auto", 1, 1), ("u8", 3, 3), ("s16", 2, 2)],
)
def test_the_format_is_the_servers_where_it_forces_one(wanted, forced, number):
    chosen = choice(format=wanted, info=replace(INFO, forced_iq_format=forced))
    assert chosen.format_number == number


def test_a_forced_format_that_is_not_known_is_refused():
    with pytest.raises(SourceError, match="forces IQ format 5"):
        choice(info=replace(INFO, forced_iq_format=5))


@pytest.mark.parametrize(
    ("wanted", "sync", "index"),
    [(None, OURS, None), (5, OURS, 5), (5, SYNC, None), (12, SYNC, None)],
)
def test_the_gain_is_set_only_where_it_is_ours(wanted, sync, index):
    assert choice(gain_index=wanted, sync=sync).gain_index == index


def test_a_gain_index_that_there_is_not_is_refused():
    with pytest.raises(SourceDataError, match="gain_index 22: its Airspy has 0…21"):
        choice(gain_index=22)


def words(data):
    """(setting, value) of each command."""
    rows = struct.iter_unpack("<4I", data)
    return [(setting, value) for _, _, setting, value in rows]


def test_the_stream_is_started_last():
    chosen = choice(gain_index=5, sync=OURS)
    assert words(chosen.before_centre) == [(0, 1), (100, 2), (102, 4)]
    assert words(chosen.after_centre) == [(2, 5), (103, 0), (1, 1)]
    assert words(choice().after_centre) == [(103, 0), (1, 1)]
