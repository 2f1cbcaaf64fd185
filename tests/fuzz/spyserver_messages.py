"""Arbitrary bytes as what a SpyServer says."""

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_iq import PacketCount, count_samples, samples_of
from heimdall_edge.sources.spyserver_protocol import (
    HEADER_BYTES,
    LARGEST_BODY_BYTES,
    Kind,
    parse_client_sync,
    parse_device_info,
    parse_header,
    parse_pong,
)

PARSERS = {
    Kind.DEVICE_INFO: parse_device_info,
    Kind.CLIENT_SYNC: parse_client_sync,
    Kind.PONG: parse_pong,
}
RATE_HZ = 1e5


def one_input(data: bytes) -> None:
    """Read message after message as far as they are whole; only a SourceError may come of it."""
    packets = PacketCount(sample_rate_hz=RATE_HZ)
    try:
        while len(data) >= HEADER_BYTES:
            header = parse_header(data[:HEADER_BYTES])
            assert header.body_bytes <= LARGEST_BODY_BYTES
            end = HEADER_BYTES + header.body_bytes
            _read(header, data[HEADER_BYTES:end], packets)
            data = data[end:]
    except SourceError:
        return


def _read(header, body, packets) -> None:
    if header.iq_format is None:
        PARSERS.get(header.kind, len)(body)
        return
    n_samples = count_samples(body, header.iq_format)
    assert len(samples_of(body, header.iq_format)) == 2 * n_samples
    step = packets.follow(header.sequence, n_samples)
    assert 0 <= step.lost_samples <= 60 * RATE_HZ
