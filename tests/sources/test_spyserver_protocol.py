"""The bytes of SpyServer."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import (
    Setting,
    hello,
    parse_client_sync,
    parse_device_info,
    parse_header,
    parse_pong,
    ping,
    set_setting,
)

from ..fuzz import spyserver_messages

VERSION = 0x020006A4
INFO = (1, 7, 6_000_000, 4_800_000, 8, 0, 21, 24_000_000, 1_800_000_000, 12, 1, 0)
SYNC = (0, 15, 403_000_000, 403_000_000, 403_000_000, 400_600_000, 405_400_000, 1, 2)


def header_bytes(*, version=VERSION, kind=101, stream=1, sequence=9, size=4096):
    return struct.pack("<5I", version, kind, stream, sequence, size)


def test_the_greeting_says_the_version_and_who_we_are():
    assert hello("heimdall-edge/1") == struct.pack("<III", 0, 19, VERSION) + b"heimdall-edge/1"


def test_a_setting_is_two_words_in_a_command():
    expected = struct.pack("<IIII", 2, 8, 101, 446_000_000)
    assert set_setting(Setting.IQ_FREQUENCY, 446_000_000) == expected


def test_a_pong_gives_the_token_of_its_ping_back():
    command = ping(77)
    assert command == struct.pack("<III", 3, 4, 77)
    assert parse_pong(command[8:]) == 77
    assert parse_pong(b"\x01\x02") is None


def test_a_header_is_read():
    header = parse_header(header_bytes(kind=101 | 6 << 16))
    assert (header.kind, header.flags, header.sequence, header.body_bytes) == (101, 6, 9, 4096)
    assert header.iq_format.name == "s16"


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 104, 200, 301, 65_535])
def test_what_holds_no_iq_has_no_format(kind):
    assert parse_header(header_bytes(kind=kind)).iq_format is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 0x030006A4}, r"protocol word 0x030006a4.*expected 2\.0 \(0x020006a4\)"),
        ({"version": 0x020106A4}, "protocol word 0x020106a4"),
        ({"version": 0x50545448}, "protocol word 0x50545448 where a message should begin"),
        ({"size": 2**20 + 1}, "a message of 1048577 bytes, expected at most 1048576"),
        ({"size": 2**32 - 1}, "its framing is lost"),
    ],
)
def test_what_is_no_header_is_refused(changed, message):
    with pytest.raises(SourceError, match=message):
        parse_header(header_bytes(**changed))


def test_another_build_of_the_version_is_understood():
    assert parse_header(header_bytes(version=0x02000701, size=2**20)).body_bytes == 2**20


def test_device_info_says_which_rates_there_are():
    info = parse_device_info(struct.pack("<12I", *INFO) + b"new words")
    assert info.name == "Airspy"
    assert info.rates_hz[1] == 3e6
    assert info.rates_hz[8] == 23_437.5
    assert list(info.rates_hz) == list(range(1, 9))


def test_absurd_stages_make_no_absurd_list():
    numbers = list(INFO)
    numbers[4], numbers[10] = 2**32 - 1, 0
    assert len(parse_device_info(struct.pack("<12I", *numbers)).rates_hz) == 25


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (bytes(47), "DEVICE_INFO of 47 bytes, expected 48"),
        (struct.pack("<12I", 1, 7, *[0] * 10), "says that its sample rate is 0"),
    ],
)
def test_a_device_that_cannot_be_is_refused(body, message):
    with pytest.raises(SourceError, match=message):
        parse_device_info(body)


def test_a_device_of_an_unknown_type_has_a_name():
    assert parse_device_info(struct.pack("<12I", 9, *INFO[1:])).name == "device of type 9"


def test_client_sync_says_what_we_may():
    sync = parse_client_sync(struct.pack("<9I", *SYNC))
    assert not sync.can_control
    assert sync.iq_center_hz == 403_000_000
    assert sync.covers(400_600_000)
    assert sync.covers(405_400_000)
    assert not sync.covers(405_400_001)


def test_half_a_client_sync_is_refused():
    with pytest.raises(SourceError, match="CLIENT_SYNC of 35 bytes, expected 36"):
        parse_client_sync(bytes(35))


@given(st.binary(max_size=400))
def test_any_bytes_are_messages_or_refused(data):
    spyserver_messages.one_input(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 3, 100, 101, 102, 103, 301]),
            st.integers(0, 2**32 - 1),
            st.binary(max_size=64),
        ),
        max_size=6,
    )
)
def test_any_bodies_in_sound_headers_are_read_or_refused(messages):
    data = b"".join(
        header_bytes(kind=kind, sequence=sequence, size=len(body)) + body
        for kind, sequence, body in messages
    )
    spyserver_messages.one_input(data)
