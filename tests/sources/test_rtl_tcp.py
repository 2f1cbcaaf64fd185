"""A dongle behind rtl_tcp as a source, against a server that fails on demand."""

import logging
import socket
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest

from heimdall_edge.config_receivers import Receiver, Scan
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import SOURCES
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, Tunable
from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.rtl_tcp import RtlTcpSource

from ..emulators.rtl_tcp_server import RtlTcpServer
from ..emulators.tone import Tone, peak_hz
from .contract import IQSourceContract, missing_before
from .live import FirstBlocks

RATE_HZ = 1_024_000
CENTER_HZ = 446_000_000
TONE_HZ = 446_100_000
BLOCK_SAMPLES = 65_536


@pytest.fixture
def server():
    with RtlTcpServer(tone=Tone(TONE_HZ)) as server:
        yield server


@pytest.fixture
def source_of():
    """Server → a source that reads it; settings are those of the receiver, or of its table."""
    made = []

    def make(server, *, timeouts=None, resolve=None, **settings):
        table = {"host": server.host, "port": server.port}
        for key in ("host", "ppm", "bias_tee", "direct_sampling", "offset_tuning", "bandwidth_hz"):
            if key in settings:
                table[key] = settings.pop(key)
        if "agc" not in settings:
            settings.setdefault("gain_db", 28.0)
        if "scan" not in settings:
            settings.setdefault("center_freq_hz", CENTER_HZ)
        receiver = Receiver(
            **{"id": "rx", "kind": "rtl_tcp", "sample_rate_hz": RATE_HZ, **settings}, rtl_tcp=table
        )
        waits = {"stall_s": 10.0, **(timeouts or {})}
        if resolve:
            waits["resolve"] = resolve
        made.append(RtlTcpSource(receiver=receiver, **waits))
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


class TestAnRtlTcpSourceKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self, server, source_of):
        return FirstBlocks(source_of(server), 4)

    @pytest.fixture
    def lasting_source(self, server, source_of):
        server.ends_after_s = 0.4
        return source_of(server, timeouts={"stall_s": 60})

    @pytest.fixture
    def counts(self):
        return 4 * BLOCK_SAMPLES, 0


# ── what is set ───────────────────────────────────────────────────────────────────────────


def test_commands_go_in_the_order_that_servers_want(server, source_of, eventually):
    source_of(server).open()
    eventually(lambda: len(server.commands) == 6, "all commands are read")
    assert server.commands == [
        (0x02, RATE_HZ),
        (0x01, CENTER_HZ),
        (0x05, 0),
        (0x08, 0),
        (0x03, 1),
        (0x04, 280),
    ]


def test_what_forks_understand_differently_is_sent_only_where_it_is_configured(
    server, source_of, eventually
):
    settings = {"ppm": -3, "direct_sampling": "q", "offset_tuning": True, "bandwidth_hz": 2e5}
    source_of(server, bias_tee=False, **settings).open()
    eventually(lambda: len(server.commands) == 10, "all commands are read")
    assert server.commands[2] == (0x05, 2**32 - 3)
    assert server.commands[6:] == [(0x09, 2), (0x0A, 1), (0x40, 200_000), (0x0E, 0)]


def test_a_bias_tee_is_switched_on_where_it_is_configured(server, source_of, eventually):
    source_of(server, bias_tee=True).open()
    eventually(lambda: (0x0E, 1) in server.commands, "the bias tee is on")


def test_automatic_gain_is_asked_for_and_warned_of(server, source_of, eventually, caplog):
    source = source_of(server, agc=True)
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        source.open()
    assert [r.message for r in caplog.records] == ["gain_is_automatic"]
    eventually(lambda: len(server.commands) == 5, "all commands are read")
    assert server.commands[-1] == (0x03, 0)
    assert "automatic gain" in source.device
    assert read(source, 1)[0].gain_db is None


@pytest.mark.parametrize(
    ("tuner", "asked_db", "step_db"),
    [(5, 29.0, 29.7), (5, -20.0, 0.0), (1, -5.0, -1.0), (3, 60.0, 19.7), (6, 49.6, 49.6)],
)
def test_the_gain_in_force_is_the_tuners_nearest_step(
    source_of, eventually, tuner, asked_db, step_db
):
    with RtlTcpServer(tuner=tuner) as server:
        source = source_of(server, gain_db=asked_db)
        source.open()
        assert read(source, 1)[0].gain_db == step_db
        eventually(lambda: len(server.commands) == 6, "all commands are read")
        assert server.commands[-1] == (0x04, round(10 * step_db) & 0xFFFFFFFF)


def test_gain_steps_that_are_not_the_tuners_are_not_claimed(source_of, eventually):
    with RtlTcpServer(tuner=5, n_gains=28) as server:  # SDRplay's rsp_tcp
        source = source_of(server, gain_db=29.0)
        source.open()
        assert read(source, 1)[0].gain_db is None
        assert "gain unknown" in source.device
        eventually(lambda: (0x04, 290) in server.commands, "what was asked for is sent")


def test_the_device_says_what_was_opened(server, source_of):
    source = source_of(server, sample_rate_hz=2_400_000)
    assert source.device is None
    source.open()
    assert source.device == f"R820T, rtl_tcp at 127.0.0.1:{server.port}, gain 28.0 dB, 2.4 Msps"


@pytest.mark.parametrize("rate_hz", [225_000, 300_001, 900_000, 3_200_001, 48_000])
def test_a_rate_that_no_dongle_has_is_refused_before_connecting(server, source_of, rate_hz):
    source = source_of(server, sample_rate_hz=rate_hz)
    with pytest.raises(SourceDataError, match=r"225.001–300 or 900.001–3200 kHz") as caught:
        source.open()
    assert f"sample_rate_hz {rate_hz:g}" in str(caught.value)
    assert server.clients == 0


def test_a_centre_that_no_command_can_say_is_refused_before_connecting(server, source_of):
    with pytest.raises(SourceDataError, match="centre 5000000000 Hz: expected 1…4294967295 Hz"):
        source_of(server, center_freq_hz=5e9).open()
    assert server.clients == 0


# ── samples ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rate_hz", "n_samples"), [(250_000, 12_500), (1_024_000, 65_536), (2_400_000, 65_536)]
)
def test_a_tone_is_found_where_it_is_on_the_air(server, source_of, rate_hz, n_samples):
    source = source_of(server, sample_rate_hz=rate_hz)
    source.open()
    for block in read(source, 3):
        assert block.n_samples == n_samples
        assert peak_hz(block) == pytest.approx(TONE_HZ, abs=1.5 * rate_hz / n_samples)


def test_the_real_rate_of_the_divider_is_used(server, source_of):
    source = source_of(server, sample_rate_hz=2_000_000)
    source.open()
    assert read(source, 1)[0].sample_rate_hz == pytest.approx(2_000_000.0530, abs=1e-4)


def test_pieces_that_end_between_i_and_q_stay_whole(server, source_of):
    server.chunk_bytes = 4097
    source = source_of(server)
    source.open()
    blocks = read(source, 3)
    for block in blocks:
        assert peak_hz(block) == pytest.approx(TONE_HZ, abs=30)  # I for Q would mirror it


def test_the_first_tenth_of_a_second_is_thrown_away_and_counted(server, source_of):
    source = source_of(server)
    source.open()
    first = read(source, 1)[0]
    assert first.discarded_samples >= 0.1 * RATE_HZ
    assert first.discarded_samples < 1.0 * RATE_HZ
    assert first.sample_start == missing_before(first)


def test_stamps_are_the_hosts_to_some_milliseconds(server, source_of):
    source = source_of(server)
    source.open()
    for block in source.blocks():
        assert abs(time.time_ns() - block.end_utc_ns) < 0.15e9
        if block.sample_start > 0.6 * RATE_HZ:
            break


def test_a_server_that_drops_in_silence_is_found_out(source_of):
    with RtlTcpServer() as server:
        source = source_of(server)
        source.open()
        lost = 0
        for number, block in enumerate(source.blocks()):
            if number == 40:
                server.drop(RATE_HZ // 2)
            lost += block.lost_samples
            if lost or number > 160:
                break
    assert lost == pytest.approx(RATE_HZ // 2, rel=0.1)
    assert block.sample_start > missing_before(block) + 40 * BLOCK_SAMPLES


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_any_kind_of_address_will_do(source_of, host):
    with RtlTcpServer(host="::1" if host == "::1" else "127.0.0.1") as server:
        source = source_of(server, host=host)
        source.open()
        assert read(source, 1)


# ── tuning ────────────────────────────────────────────────────────────────────────────────


def test_it_is_tuned_between_two_blocks(server, source_of):
    source = source_of(server)
    source.open()
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 2:
            source.tune(CENTER_HZ + 200_000)
        if len(blocks) == 5:
            break
    assert [b.center_freq_hz - CENTER_HZ for b in blocks] == [0, 0, 200_000, 200_000, 200_000]
    assert blocks[2].discarded_samples >= 0.1 * RATE_HZ
    assert [b.discarded_samples for b in blocks[3:]] == [0, 0]
    for block in blocks:
        assert peak_hz(block) == pytest.approx(TONE_HZ, abs=30)
    for before, block in pairwise(blocks):
        assert block.sample_start == before.sample_start + before.n_samples + missing_before(block)
    assert server.commands[-1] == (0x01, CENTER_HZ + 200_000)


def test_tuning_to_where_it_is_changes_nothing(server, source_of):
    source = source_of(server)
    source.open()
    blocks = source.blocks()
    next(blocks)
    source.tune(CENTER_HZ)
    assert next(blocks).discarded_samples == 0
    blocks.close()


def test_tuning_to_what_cannot_be_is_refused(server, source_of):
    source = source_of(server)
    source.open()
    with pytest.raises(SourceDataError, match="centre -1 Hz"):
        source.tune(-1.0)


def test_a_source_that_is_not_open_cannot_be_tuned(server, source_of):
    source = source_of(server)
    with pytest.raises(SourceError):
        source.tune(CENTER_HZ + 1)
    source.close()
    with pytest.raises(SourceError):
        source.tune(CENTER_HZ + 1)


def test_a_scan_begins_at_its_first_centre_and_settles_as_long_as_it_says(server, source_of):
    scan = Scan(centers_hz=(CENTER_HZ + 1e5, CENTER_HZ), settle_s=0.4)
    source = source_of(server, scan=scan)
    source.open()
    first = read(source, 1)[0]
    assert first.center_freq_hz == CENTER_HZ + 1e5
    assert first.discarded_samples >= 0.4 * RATE_HZ


# ── refusals and faults ───────────────────────────────────────────────────────────────────


def test_nobody_listening_is_said(source_of):
    with RtlTcpServer() as server:
        source = source_of(server)
    error = error_of(source)
    assert str(error) == (
        f"rx: rtl_tcp at 127.0.0.1:{server.port}: cannot connect (127.0.0.1: Connection refused)"
    )
    assert not isinstance(error, SourceDataError)


def test_an_unknown_host_is_said(server, source_of):
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = error_of(source_of(server, host="nowhere.example", resolve=unknown))
    assert "cannot find the host 'nowhere.example': Name or service not known" in str(error)


def test_a_second_client_is_told_that_it_is_busy(server, source_of):
    first = source_of(server)
    first.open()
    assert read(first, 1)
    error = error_of(source_of(server, timeouts={"header_timeout_s": 0.3}))
    assert "busy: it took the connection and sent no header in 0.3 s" in str(error)
    assert error.pause_s == 15


def test_a_client_that_waits_is_served_once_the_other_one_has_left(server, source_of):
    first, second = source_of(server), source_of(server)
    first.open()
    threading.Timer(0.3, first.close).start()
    second.open()
    assert read(second, 1)


@pytest.mark.parametrize(
    ("settings", "message", "pause_s"),
    [
        ({"no_header": True}, "busy", 15),
        ({"closes_at_once": True}, "closed the connection", 0),
        ({"half_header": True}, r"half a header \(5 of 12 bytes\)", 0),
        ({"magic": b""}, "samples without a header", 60),
        ({"magic": b"SDRA"}, "choose RTL0", 60),
        ({"after_header": b"RSP0" + bytes(40)}, "rsp_tcp in extended mode", 60),
    ],
)
def test_a_server_that_begins_otherwise_is_refused(server, source_of, settings, message, pause_s):
    for name, value in settings.items():
        setattr(server, name, value)
    error = error_of(source_of(server, timeouts={"header_timeout_s": 0.3}))
    assert str(error).startswith(f"rx: rtl_tcp at 127.0.0.1:{server.port}: ")
    with pytest.raises(SourceError, match=message):
        raise error
    assert error.pause_s == pause_s


def test_a_header_that_comes_byte_by_byte_ends_at_the_deadline(server, source_of):
    server.trickle()
    began_s = time.monotonic()
    error = error_of(source_of(server, timeouts={"header_timeout_s": 1.2}))
    assert "half a header" in str(error)
    assert time.monotonic() - began_s < 3


def test_a_stall_is_an_error(server, source_of):
    error = error_of(source_of(server, timeouts={"stall_s": 0.4}), meanwhile=server.stall)
    assert "bytes in 0.4 s, expected 131072 and more" in str(error)
    assert error.pause_s == 0


def test_one_byte_a_second_is_no_stream(server, source_of):
    source = source_of(server, timeouts={"stall_s": 1.5})
    began_s = time.monotonic()
    error = error_of(source, meanwhile=server.trickle)
    assert "the server stalls, or the way is too slow" in str(error)
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize("fault", ["kill", "restart"])
def test_a_server_that_dies_is_said_at_once(server, source_of, fault):
    error = error_of(source_of(server), meanwhile=getattr(server, fault))
    assert "closed the connection" in str(error) or "the connection broke" in str(error)


def test_a_server_that_came_back_on_its_port_is_read_again(server, source_of):
    source = source_of(server)
    source.open()
    assert read(source, 1)
    server.restart()
    again = source_of(server)
    again.open()
    assert peak_hz(read(again, 1)[0]) == pytest.approx(TONE_HZ, abs=30)


def test_random_bytes_are_samples_like_any_others(server, source_of):
    source = source_of(server)
    source.open()
    server.send_garbage()
    assert len(read(source, 4)) == 4


def test_a_link_that_is_too_slow_loses_samples_that_are_counted_and_said(source_of, caplog):
    with RtlTcpServer() as server:
        server.queue_s = 0.2
        source = source_of(server)
        source.open()
        server.bytes_per_s = 1.4 * RATE_HZ  # of the two that a sample takes
        lost = received = 0
        with caplog.at_level(logging.WARNING, "heimdall_edge"):
            for block in source.blocks():
                lost += block.lost_samples
                received += block.n_samples
                if lost + received > 13 * RATE_HZ:
                    break
    # A loss that goes on is found every few seconds: what is late may yet come.
    assert lost == pytest.approx(server.dropped_samples, abs=2.2 * RATE_HZ)
    assert lost > 1.0 * RATE_HZ
    (record,) = [r for r in caplog.records if r.message == "too_few_samples"]
    assert record.fields["received_hz"] == pytest.approx(0.7 * RATE_HZ, rel=0.15)


def test_a_server_that_gives_another_rate_is_found_out(server, source_of):
    server.obeys = False  # it goes on with 2.048 Msps
    error = error_of(source_of(server, sample_rate_hz=1_024_000))
    assert "asked for 1024000: it does not follow commands" in str(error)
    assert error.pause_s == 60


def test_a_server_that_takes_no_commands_is_warned_of(source_of, caplog):
    with RtlTcpServer(n_gains=0) as server:
        source = source_of(server)
        with caplog.at_level(logging.WARNING, "heimdall_edge"):
            source.open()
        assert [r.message for r in caplog.records] == ["server_may_not_obey"]
        assert read(source, 1)[0].gain_db is None


@pytest.mark.parametrize("phase", ["look-up", "header", "samples"])
def test_closing_ends_what_waits_within_a_second(server, source_of, phase):
    entered, never = threading.Event(), threading.Event()

    def slow(host, port):
        entered.set()
        never.wait()
        return []

    server.no_header = phase == "header"
    source = source_of(server, resolve=slow if phase == "look-up" else None)
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
    never.set()
    thread.join()


def test_nothing_is_read_before_it_is_open(server, source_of):
    with pytest.raises(SourceError, match="is not open"):
        next(source_of(server).blocks())


def test_it_is_live_and_can_be_tuned(server, source_of):
    source = source_of(server)
    assert source.may_wait is False
    assert source.progress == 0.0
    assert isinstance(source, Tunable)


def test_the_configuration_makes_it_with_the_hosts_clocks(server, source_of):
    host = SystemTime()
    receiver = Receiver(
        id="rx",
        kind="rtl_tcp",
        center_freq_hz=CENTER_HZ,
        sample_rate_hz=RATE_HZ,
        gain_db=20.0,
        rtl_tcp={"host": server.host, "port": server.port},
    )
    source = SOURCES["rtl_tcp"](receiver, SimpleNamespace(host=host))
    assert isinstance(source, RtlTcpSource)
    source.open()
    assert next(source.blocks()).n_samples
    source.close()
