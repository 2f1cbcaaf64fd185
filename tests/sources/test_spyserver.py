"""A SpyServer as a source, against a server that fails on demand."""

import logging
import socket
import struct
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from heimdall_edge.config_receivers import Receiver, Scan
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import SOURCES
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, Tunable
from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.spyserver import SpyServerSource

from ..emulators.spy_server import (
    DECIMATION,
    DIGITAL_GAIN,
    ENABLED,
    FORMAT,
    FREQUENCY,
    GAIN,
    MODE,
    SpyServer,
)
from ..emulators.tone import Tone, peak_hz
from .contract import IQSourceContract, missing_before
from .live import FirstBlocks

RATE_HZ = 375_000
BLOCK_SAMPLES = 20_480
"""Five packets: the first whole number of them in 50 ms."""
CENTER_HZ = 446_050_000
TONE_HZ = 446_100_000
RESOLUTION_HZ = 30


@pytest.fixture
def server():
    with SpyServer(tone=Tone(TONE_HZ)) as server:
        yield server


@pytest.fixture
def source_of():
    """Server → a source that reads it; settings are those of the receiver, or of its table."""
    made = []

    def make(server, *, timeouts=None, resolve=None, **settings):
        table = {"host": server.host, "port": server.port}
        for key in ("host", "format", "gain_index"):
            if key in settings:
                table[key] = settings.pop(key)
        if "scan" not in settings:
            settings.setdefault("center_freq_hz", CENTER_HZ)
        settings = {"id": "rx", "kind": "spyserver", "sample_rate_hz": RATE_HZ, **settings}
        waits = {"stall_s": 10.0, **(timeouts or {})}
        if resolve:
            waits["resolve"] = resolve
        made.append(SpyServerSource(receiver=Receiver(**settings, spyserver=table), **waits))
        return made[-1]

    yield make
    for source in made:
        source.close()


def read(source, n_blocks):
    """The first blocks of a source that is open."""
    return [block for block, _ in zip(source.blocks(), range(n_blocks), strict=False)]


def error_of(source, *, meanwhile=lambda: None):
    """The SourceError that opening and reading a source ends with; blocks call `meanwhile`."""

    def use():
        source.open()
        for _ in source.blocks():
            meanwhile()

    with pytest.raises(SourceError) as caught:
        use()
    return caught.value


def assert_nothing_hidden(blocks):
    assert blocks[0].sample_start == missing_before(blocks[0])
    for before, block in pairwise(blocks):
        assert block.sample_start == before.sample_start + before.n_samples + missing_before(block)


def power_db(block):
    """Mean power of a block, dB of its own full scale."""
    full_scale = {"cu8": 127.5, "ci16_le": 32768.0, "cf32_le": 1.0}[block.datatype]
    zero = 128 if block.datatype == "cu8" else 0
    values = (block.samples.astype(np.float64) - zero) / full_scale
    return 10 * np.log10(2 * np.mean(values**2))


class TestASpyServerSourceKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self, server, source_of):
        return FirstBlocks(source_of(server), 4)

    @pytest.fixture
    def lasting_source(self, server, source_of):
        server.ends_after_s = 0.5
        return source_of(server, timeouts={"stall_s": 60})

    @pytest.fixture
    def counts(self):
        return 4 * BLOCK_SAMPLES, 0


# ── the greeting ──────────────────────────────────────────────────────────────────────────


def test_settings_go_in_the_order_that_servers_want(server, source_of, eventually):
    source_of(server, gain_index=5).open()
    eventually(lambda: len(server.order) == 6, "all settings are read")
    assert [(setting, value) for _, setting, value in server.order] == [
        (MODE, 1),
        (FORMAT, 2),
        (DECIMATION, 4),
        (FREQUENCY, CENTER_HZ),
        (DIGITAL_GAIN, 0),
        (ENABLED, 1),
    ]
    assert server.seen[0].version == 0x020006A4
    assert server.seen[0].name.startswith("heimdall-edge/")


def test_the_gain_is_set_where_the_server_lets_us(server, source_of, eventually):
    server.can_control = True
    source = source_of(server, gain_index=5)
    source.open()
    eventually(lambda: len(server.order) == 7, "all settings are read")
    assert server.order[4][1:] == (GAIN, 5)
    assert server.gain_index == 5
    assert "gain index 5" in source.device


def test_a_gain_that_is_not_ours_is_warned_of(server, source_of, caplog):
    source = source_of(server, gain_index=5)
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        source.open()
    assert [r.message for r in caplog.records] == ["gain_is_not_ours"]
    assert caplog.records[0].fields == {"receiver": "rx", "wanted": 5, "in_force": 12}
    assert "gain index 12" in source.device


def test_the_device_says_what_was_opened(server, source_of):
    source = source_of(server)
    assert source.device is None
    source.open()
    assert source.device == (
        f"Airspy, serial 3A5F12B6, SpyServer at 127.0.0.1:{server.port}, gain index 12, 0.375 Msps"
    )


def test_a_rate_that_no_stage_gives_is_refused_with_those_there_are(server, source_of):
    server.max_rate_hz, server.min_stage, server.stages = 912_000, 2, 5
    with pytest.raises(SourceDataError) as caught:
        source_of(server, sample_rate_hz=912_000).open()
    assert str(caught.value) == (
        f"rx: SpyServer at 127.0.0.1:{server.port}: sample_rate_hz 912000: "
        "its Airspy gives 228000, 114000, 57000, 28500"
    )


def test_a_gain_index_that_there_is_not_is_refused(server, source_of):
    with pytest.raises(SourceDataError, match="gain_index 22: its Airspy has 0…21"):
        source_of(server, gain_index=22).open()


def test_a_stage_whose_rate_is_no_whole_number_is_exact(server, source_of):
    server.max_rate_hz, server.stages = 10_000_000, 8
    source = source_of(server, sample_rate_hz=39_063)
    source.open()
    assert read(source, 1)[0].sample_rate_hz == 39_062.5


# ── samples ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "forced", "datatype"),
    [
        ("auto", 0, "ci16_le"),
        ("u8", 0, "cu8"),
        ("s16", 0, "ci16_le"),
        ("f32", 0, "cf32_le"),
        ("auto", 1, "cu8"),
        ("auto", 3, "cf32_le"),
        ("s16", 4, "cf32_le"),
    ],
)
def test_a_tone_is_found_in_each_format(server, source_of, wanted, forced, datatype):
    server.forced_format = forced
    source = source_of(server, format=wanted)
    source.open()
    block = read(source, 1)[0]
    assert block.datatype == datatype
    assert block.n_samples == BLOCK_SAMPLES
    assert peak_hz(block) == pytest.approx(TONE_HZ, abs=RESOLUTION_HZ)
    assert power_db(block) == pytest.approx(-5.9, abs=0.3)


def test_a_format_that_is_not_known_is_refused(server, source_of):
    server.forced_format = 9
    assert "it forces IQ format 9, expected one of" in str(error_of(source_of(server)))


def test_a_fast_stage_gives_blocks_of_65_536_samples(server, source_of):
    source = source_of(server, sample_rate_hz=3_000_000, format="u8")
    source.open()
    block = read(source, 1)[0]
    assert block.n_samples == 65_536
    assert peak_hz(block) == pytest.approx(TONE_HZ, abs=RESOLUTION_HZ * 3)


def test_the_first_tenth_of_a_second_is_thrown_away_and_counted(server, source_of):
    source = source_of(server)
    source.open()
    first = read(source, 1)[0]
    assert 0.1 * RATE_HZ <= first.discarded_samples < RATE_HZ
    assert first.sample_start == missing_before(first)


@pytest.mark.parametrize(
    ("packets", "lost", "exact"), [((4096,), 3 * 4096, True), ((4000, 2000), 9000, False)]
)
def test_a_gap_in_the_sequence_is_counted(server, source_of, packets, lost, exact):
    server.packet_samples = packets
    source = source_of(server)
    source.open()
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 2:
            server.drop_packets(3)
        if block.lost_samples or len(blocks) > 20:
            break
    assert block.lost_samples == pytest.approx(lost, abs=0 if exact else 1000)
    assert_nothing_hidden(blocks)


def test_a_link_that_is_too_slow_loses_packets_that_are_counted(server, source_of):
    server.queue_s = 0.2
    source = source_of(server)
    source.open()
    server.bytes_per_s = 2 * RATE_HZ  # of the four that a sample takes
    blocks, lost = [], 0
    for block in source.blocks():
        blocks.append(block)
        lost += block.lost_samples
        if block.sample_start > 3 * RATE_HZ:
            break
    assert lost == pytest.approx(1.3 * RATE_HZ, rel=0.25)
    assert_nothing_hidden(blocks)


def test_a_sequence_that_begins_anew_is_said(server, source_of, caplog):
    source = source_of(server)
    source.open()
    blocks = []
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        for block in source.blocks():
            blocks.append(block)
            if len(blocks) == 2:
                server.repeat_sequence()
            if len(blocks) == 5:
                break
    assert "sequence_began_anew" in [r.message for r in caplog.records]
    assert_nothing_hidden(blocks)


def test_a_digital_gain_that_was_not_asked_for_is_taken_off_the_level(server, source_of, caplog):
    server.tone = Tone(TONE_HZ, amplitude=0.1, noise=0.01)
    source = source_of(server, gain_db=20.0)
    source.open()
    plain = loud = None
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        for block in source.blocks():
            if plain is None:
                plain = block
                server.digital_gain_db = 12
            elif block.gain_db != 20.0:
                loud = block
                break
    assert plain.gain_db == 20.0
    assert loud.gain_db == 32.0
    assert power_db(loud) - power_db(plain) == pytest.approx(12, abs=0.1)
    assert [r.message for r in caplog.records] == ["digital_gain"]


def test_bits_that_can_be_no_gain_are_not_taken_off_the_level(server, source_of):
    server.tone = Tone(TONE_HZ, amplitude=0)
    server.digital_gain_db = 0x8000 - 0x10000  # the highest of the bits
    server.body_of = lambda samples: bytes(4 * len(samples))
    source = source_of(server, gain_db=20.0)
    source.open()
    assert read(source, 1)[0].gain_db == 20.0


def test_any_kind_of_address_will_do(source_of):
    with SpyServer(host="::1") as server:
        source = source_of(server)
        source.open()
        assert read(source, 1)


# ── the centre ────────────────────────────────────────────────────────────────────────────


def listen(source, n_blocks, at):
    """So many blocks; ``at[n]`` is called when there are n of them."""
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        at.get(len(blocks), lambda: None)()
        if len(blocks) == n_blocks:
            return blocks
    raise AssertionError("it ended")


@pytest.mark.parametrize("can_control", [False, True])
@pytest.mark.parametrize("answers_ping", [True, False])
def test_it_is_tuned_between_two_blocks(server, source_of, can_control, answers_ping):
    server.can_control, server.answers_ping = can_control, answers_ping
    source = source_of(server)
    source.open()
    blocks = listen(source, 5, {2: lambda: source.tune(CENTER_HZ + 90_000)})
    assert [b.center_freq_hz - CENTER_HZ for b in blocks] == [0, 0, 90_000, 90_000, 90_000]
    assert blocks[2].discarded_samples >= 0.1 * RATE_HZ
    assert [b.discarded_samples for b in blocks[3:]] == [0, 0]
    for block in blocks:
        assert peak_hz(block) == pytest.approx(TONE_HZ, abs=RESOLUTION_HZ)
    assert_nothing_hidden(blocks)


def test_tuning_to_where_it_is_changes_nothing(server, source_of):
    source = source_of(server)
    source.open()
    blocks = listen(source, 3, {1: lambda: source.tune(CENTER_HZ)})
    assert [b.discarded_samples for b in blocks[1:]] == [0, 0]


def test_what_is_not_open_cannot_be_tuned_or_read(server, source_of):
    source = source_of(server)
    with pytest.raises(SourceError, match="is not open"):
        source.tune(CENTER_HZ + 1)
    with pytest.raises(SourceError, match="is not open"):
        next(source.blocks())


def test_a_centre_outside_of_what_the_device_covers_is_an_error_now(server, source_of):
    error = error_of(source_of(server, center_freq_hz=433_920_000))
    assert str(error) == (
        f"rx: SpyServer at 127.0.0.1:{server.port}: centre 433920000 Hz: its device stands at "
        "446000000 Hz and is not ours to move; now 443600000…448400000 Hz"
    )
    assert error.pause_s == 60
    assert not isinstance(error, SourceDataError)


def test_a_centre_that_the_hardware_does_not_reach_is_an_error(server, source_of):
    server.can_control = True
    error = error_of(source_of(server, center_freq_hz=7_100_000))
    assert "centre 7100000 Hz: its Airspy reaches 24000000…1800000000 Hz" in str(error)


def test_a_centre_moved_by_another_client_is_a_gap_and_never_a_lie(server, source_of, caplog):
    server.half_range_hz = 200_000
    source = source_of(server, center_freq_hz=446_150_000)
    source.open()

    def move():  # 446.15 MHz stays within reach, but the server puts us to its own centre
        server.device_center_hz = 446_300_000
        for client in server.present:
            client.iq_center_hz = 446_300_000
        server.move(446_300_000)

    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        blocks = listen(source, 6, {2: move})
    assert "moved_by_another_client" in [r.message for r in caplog.records]
    assert {b.center_freq_hz for b in blocks} == {446_150_000.0}
    assert max(b.discarded_samples for b in blocks[2:]) >= 0.1 * RATE_HZ
    for block in [blocks[0], blocks[1], blocks[-1]]:
        assert peak_hz(block) == pytest.approx(TONE_HZ, abs=RESOLUTION_HZ)
    assert_nothing_hidden(blocks)


def test_a_device_that_is_moved_away_is_an_error(server, source_of):
    error = error_of(source_of(server), meanwhile=lambda: server.move(100_000_000))
    assert "its device stands at 100000000 Hz and is not ours to move" in str(error)
    assert error.pause_s == 60


def test_a_device_that_moves_within_reach_is_a_gap_only(server, source_of):
    source = source_of(server)
    source.open()
    blocks = listen(source, 6, {2: lambda: server.move(446_500_000)})
    assert max(b.discarded_samples for b in blocks[2:]) >= 0.1 * RATE_HZ
    assert {b.center_freq_hz for b in blocks} == {float(CENTER_HZ)}
    assert_nothing_hidden(blocks)


def test_a_server_that_does_not_follow_is_left(server, source_of):
    server.follows = False
    error = error_of(source_of(server))
    assert "asked for it 6 times within 60 s, it is at 446000000 Hz again" in str(error)
    assert error.pause_s == 300


def test_a_gain_that_another_client_changes_is_warned_of(server, source_of, caplog):
    source = source_of(server)
    source.open()
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        blocks = listen(source, 5, {2: lambda: server.set_gain(3)})
    assert [r.message for r in caplog.records] == ["gain_changed_by_another_client"]
    assert max(b.discarded_samples for b in blocks[2:]) >= 0.1 * RATE_HZ


def test_a_scan_begins_at_its_first_centre_and_settles_as_long_as_it_says(server, source_of):
    source = source_of(server, scan=Scan(centers_hz=(CENTER_HZ + 1e4, CENTER_HZ), settle_s=0.3))
    source.open()
    first = read(source, 1)[0]
    assert first.center_freq_hz == CENTER_HZ + 1e4
    assert first.discarded_samples >= 0.3 * RATE_HZ


# ── refusals and faults ───────────────────────────────────────────────────────────────────


def test_nobody_listening_is_said(source_of):
    with SpyServer() as server:
        source = source_of(server)
    assert "cannot connect (127.0.0.1: Connection refused)" in str(error_of(source))


def test_an_unknown_host_is_said(server, source_of):
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = error_of(source_of(server, host="nowhere.example", resolve=unknown))
    assert "cannot find the host 'nowhere.example': Name or service not known" in str(error)


@pytest.mark.parametrize(
    ("settings", "message", "pause_s"),
    [
        ({"closes_after_hello": True}, "closed the connection instead of a greeting", 300),
        ({"is_mute": True}, "no greeting within 0.5 s, expected DEVICE_INFO and CLIENT_SYNC", 60),
        ({"device_type": 0}, "the server has no hardware", 300),
        ({"max_rate_hz": 0}, "DEVICE_INFO says that its sample rate is 0", 0),
        ({"version": 0x030006A4}, "no SpyServer, or one of another version", 60),
    ],
)
def test_a_server_that_greets_otherwise_is_refused(server, source_of, settings, message, pause_s):
    for name, value in settings.items():
        setattr(server, name, value)
    error = error_of(source_of(server, timeouts={"hello_timeout_s": 0.5}))
    assert str(error).startswith(f"rx: SpyServer at 127.0.0.1:{server.port}: ")
    assert message in str(error)
    assert error.pause_s == pause_s
    assert not isinstance(error, SourceDataError)


def test_a_greeting_that_comes_byte_by_byte_ends_at_the_deadline(server, source_of):
    server.trickle()
    began_s = time.monotonic()
    error = error_of(source_of(server, timeouts={"hello_timeout_s": 1.2}))
    assert "no greeting within 1.2 s" in str(error)
    assert time.monotonic() - began_s < 3


def test_a_stall_is_an_error(server, source_of):
    error = error_of(source_of(server, timeouts={"stall_s": 0.5}), meanwhile=server.stall)
    assert "bytes came within 0.5 s" in str(error)


def test_one_byte_a_second_is_no_stream(server, source_of):
    began_s = time.monotonic()
    error = error_of(source_of(server, timeouts={"stall_s": 1.5}), meanwhile=server.trickle)
    assert "came within" in str(error)
    assert time.monotonic() - began_s < 6


def test_a_server_that_talks_and_gives_no_samples_is_an_error(server, source_of):
    server.ends_after_s = 0.4
    done = threading.Event()

    def talk():
        while not done.wait(0.05):
            server.set_gain(server.gain_index)

    talker = threading.Thread(target=talk)
    talker.start()
    error = error_of(source_of(server, timeouts={"stall_s": 0.8}))
    done.set()
    talker.join()
    assert "gives too few samples for a block, for 0.8 s" in str(error)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lose_framing", "where a message should begin"),
        ("send_garbage", "where a message should begin"),
        ("kill", "ended the session"),
        ("restart", "ended the session"),
        ("end_session", "ended the session"),
    ],
)
def test_what_goes_wrong_in_the_stream_is_said_at_once(server, source_of, fault, message):
    error = error_of(source_of(server), meanwhile=getattr(server, fault))
    assert str(error).startswith(f"rx: SpyServer at 127.0.0.1:{server.port}: ")
    assert message in str(error)
    assert error.pause_s == (60 if message == "ended the session" else 0)


def test_a_session_that_ends_before_its_first_block_is_a_refusal(server, source_of):
    source = source_of(server)
    source.open()
    server.end_session()
    with pytest.raises(SourceError, match="ended the session") as caught:
        read(source, 1)
    assert caught.value.pause_s == 300


def test_a_body_larger_than_may_be_is_lost_framing(server, source_of):
    error = error_of(source_of(server), meanwhile=lambda: server.announce(2**20 + 1))
    assert "a message of 1048577 bytes, expected at most 1048576" in str(error)


def test_a_body_that_is_no_whole_sample_is_lost_framing(server, source_of):
    server.body_of = lambda samples: bytes(1023)
    assert "1023 bytes of s16 samples, expected a multiple of 4" in str(error_of(source_of(server)))


def test_floats_that_are_no_numbers_are_an_error(server, source_of):
    server.body_of = lambda samples: struct.pack("<2f", float("nan"), 0) * 4096
    assert "no numbers" in str(error_of(source_of(server, format="f32")))


def test_an_empty_packet_is_legal(server, source_of):
    server.packet_samples = (4096, 0)
    source = source_of(server)
    source.open()
    blocks = read(source, 3)
    assert [b.n_samples for b in blocks] == [BLOCK_SAMPLES] * 3
    assert_nothing_hidden(blocks)


def test_a_server_that_gives_another_rate_is_found_out(server, source_of):
    server.paced = False
    error = error_of(source_of(server))
    assert "asked for 375000: it does not follow settings" in str(error)
    assert error.pause_s == 60


def test_a_server_that_came_back_on_its_port_is_read_again(server, source_of):
    source = source_of(server)
    source.open()
    assert read(source, 1)
    server.restart()
    again = source_of(server)
    again.open()
    assert peak_hz(read(again, 1)[0]) == pytest.approx(TONE_HZ, abs=RESOLUTION_HZ)


def test_messages_that_are_not_known_are_skipped(server, source_of):
    source = source_of(server)
    source.open()

    def talk():
        for kind in (3, 200, 301, 999):
            server.say(kind, b"something")

    blocks = listen(source, 4, {1: talk})
    assert [b.discarded_samples for b in blocks[1:]] == [0, 0, 0]


def test_a_server_that_does_not_say_that_it_follows_is_an_error(server, source_of):
    server.answers_ping = server.confirms = False
    error = error_of(source_of(server, timeouts={"stall_s": 0.4}))
    assert f"does not say that it follows to {CENTER_HZ} Hz, for 0.4 s" in str(error)


def test_two_clients_have_centres_of_their_own(server, source_of):
    first, second = source_of(server), source_of(server, center_freq_hz=CENTER_HZ + 70_000)
    first.open()
    second.open()
    assert read(second, 1)[0].center_freq_hz == CENTER_HZ + 70_000
    assert read(first, 1)[0].center_freq_hz == CENTER_HZ


@pytest.mark.parametrize("phase", ["greeting", "samples"])
def test_closing_ends_what_waits_within_a_second(server, source_of, phase):
    server.is_mute = phase == "greeting"
    source = source_of(server, timeouts={"hello_timeout_s": 60, "stall_s": 60})
    done = threading.Event()

    def use():
        try:
            source.open()
            server.stall()
            for _ in source.blocks():
                pass
        except SourceError:
            pass
        done.set()

    thread = threading.Thread(target=use)
    thread.start()
    assert not done.wait(0.5)
    began_s = time.monotonic()
    source.close()
    assert time.monotonic() - began_s < CLOSE_TIMEOUT_S
    assert done.wait(CLOSE_TIMEOUT_S)
    thread.join()


def test_it_is_live_and_can_be_tuned(server, source_of):
    source = source_of(server)
    assert source.may_wait is False
    assert source.progress == 0.0
    assert isinstance(source, Tunable)


def test_the_configuration_makes_it_with_the_hosts_clocks(server, source_of):
    host = SystemTime()
    receiver = Receiver(
        id="rx",
        kind="spyserver",
        center_freq_hz=CENTER_HZ,
        sample_rate_hz=RATE_HZ,
        gain_db=20.0,
        spyserver={"host": server.host, "port": server.port},
    )
    source = SOURCES["spyserver"](receiver, SimpleNamespace(host=host))
    assert isinstance(source, SpyServerSource)
    source.open()
    assert next(source.blocks()).n_samples
    source.close()
