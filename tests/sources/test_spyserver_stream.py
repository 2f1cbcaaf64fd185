"""SpyServer's packets as blocks, on a clock that the test turns."""

import logging

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import Header
from heimdall_edge.sources.spyserver_session import Message
from heimdall_edge.sources.spyserver_stream import SpyStream
from heimdall_edge.types import ClockState

RATE_HZ = 100_000
PACKET = 1_000
"""10 ms; a block is five of them."""
CENTER_HZ = 446_000_000
EPOCH_NS = 1_800_000_000_000_000_000


class TurnedTime:
    """A host's clocks, turned by hand."""

    clock = ClockState()

    def __init__(self):
        self.now_ns = 0

    def utc_ns(self):
        return EPOCH_NS + self.now_ns

    def monotonic_ns(self):
        return self.now_ns


class Server:
    """Gives a stream its packets in time."""

    def __init__(self, **settings):
        self.time = TurnedTime()
        self.sequence = 0
        self.stream = SpyStream(
            **{
                "receiver_id": "rx",
                "sample_rate_hz": RATE_HZ,
                "gain_db": None,
                "settle_s": 0.1,
                "host": self.time,
                **settings,
            }
        )

    def packet(self, *, kind=100, flags=0, center=CENTER_HZ, took_s=0.01, n_samples=PACKET):
        began_ns = self.time.now_ns
        self.time.now_ns += round(took_s * 1e9)
        self.sequence += 1
        body = bytes({100: 2, 101: 4}[kind] * n_samples)
        header = Header(kind, flags, 1, self.sequence, len(body))
        return self.stream.take(
            Message(header, body),
            began_ns=began_ns,
            now_ns=self.time.now_ns,
            center_freq_hz=center,
        )

    def blocks(self, n_packets, **settings):
        given = [self.packet(**settings) for _ in range(n_packets)]
        return [block for block in given if block is not None]


@pytest.fixture
def server():
    return Server()


def test_packets_are_joined_to_blocks(server):
    blocks = server.blocks(11)
    assert [b.sample_start for b in blocks] == [0, 5 * PACKET]
    assert [b.n_samples for b in blocks] == [5 * PACKET] * 2
    assert server.stream.has_given


def test_a_gap_ends_a_block_and_stands_before_the_next(server):
    server.blocks(7)
    server.sequence += 2
    server.time.now_ns += 20_000_000
    (short,) = server.blocks(1)
    assert (short.sample_start, short.n_samples) == (5 * PACKET, 2 * PACKET)
    (after,) = server.blocks(4)
    assert (after.sample_start, after.lost_samples) == (9 * PACKET, 2 * PACKET)


@pytest.mark.parametrize("changed", [{"kind": 101}, {"flags": 6}])
def test_another_format_or_gain_begins_another_block(server, changed):
    server.blocks(7)
    (short,) = server.blocks(1, **changed)
    assert short.n_samples == 2 * PACKET
    (after,) = server.blocks(4, **changed)
    assert after.sample_start == short.sample_start + short.n_samples
    assert after.datatype == ("ci16_le" if "kind" in changed else "cu8")
    assert after.gain_db == (6.0 if "flags" in changed else None)


def test_what_is_spoilt_is_discarded_and_counted(server):
    server.blocks(7)
    server.stream.spoil()
    (block,) = server.blocks(5)
    assert (block.sample_start, block.discarded_samples) == (7 * PACKET, 2 * PACKET)


def test_what_was_lost_before_a_spoilt_block_stays_counted(server):
    server.blocks(5)
    server.sequence += 1
    server.time.now_ns += 10_000_000
    server.blocks(2)
    server.stream.spoil()
    (block,) = server.blocks(5)
    assert (block.lost_samples, block.discarded_samples) == (PACKET, 2 * PACKET)
    assert block.sample_start == 8 * PACKET


def test_samples_of_nobody_knows_which_centre_are_discarded(server):
    assert server.blocks(4, center=None) == []
    (block,) = server.blocks(5)
    assert (block.sample_start, block.discarded_samples) == (4 * PACKET, 4 * PACKET)
    server.blocks(2)
    assert server.blocks(3, center=None) == []
    server.stream.spoil()
    (block,) = server.blocks(5)
    assert block.discarded_samples == 5 * PACKET


def test_after_a_change_a_tenth_of_a_second_is_discarded(server):
    server.blocks(5)
    server.stream.settle(server.time.now_ns)
    (block,) = server.blocks(15)
    assert block.discarded_samples == 10 * PACKET


def test_a_packet_larger_than_a_block_is_a_block(server):
    assert server.blocks(1, n_samples=30_000, took_s=0.3)[0].n_samples == 30_000


def test_more_samples_than_time_allows_are_an_error(server):
    with pytest.raises(SourceError, match="asked for 100000: it does not follow settings"):
        server.blocks(1000, took_s=0.005)


def test_fewer_samples_than_time_allows_are_said(server, caplog):
    with caplog.at_level(logging.WARNING, "heimdall_edge"):
        server.blocks(600, took_s=0.02)
    (record,) = caplog.records
    assert record.message == "too_few_samples"
    assert record.fields["received_hz"] == pytest.approx(50_000, rel=0.01)
