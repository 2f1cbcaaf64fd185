"""The source against Debian's own rtl_tcp, which reads an emulated dongle."""

import threading
import time

import pytest

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.rtl_tcp import RtlTcpSource

from ..emulators.real_rtl_tcp import RealRtlTcp
from ..emulators.tone import peak_hz
from ..emulators.usb_dongles import Dongle, Tone, UsbDongles

SERIAL = "00000001"
RATE_HZ, CENTER_HZ, TONE_HZ = 2_400_000, 446_000_000, 446_100_000
RESOLUTION_HZ = RATE_HZ / 65_536


@pytest.fixture(scope="module")
def usb():
    with UsbDongles([Dongle(SERIAL, tones=(Tone(TONE_HZ), Tone(433_920_000)))]) as usb:
        yield usb


@pytest.fixture(scope="module")
def server(usb):
    with RealRtlTcp(usb) as server:
        yield server


@pytest.fixture
def source_of(server):
    made = []

    def make(*, timeouts=None, **table):
        receiver = Receiver(
            id="rx",
            kind="rtl_tcp",
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            gain_db=28.5,
            rtl_tcp={"host": server.host, "port": server.port, **table},
        )
        made.append(RtlTcpSource(receiver=receiver, **(timeouts or {})))
        return made[-1]

    yield make
    for source in made:
        source.close()


def read_for(source, duration_s):
    """The blocks of so much of the radio's time."""
    blocks, n_samples = [], 0
    for block in source.blocks():
        blocks.append(block)
        n_samples += block.n_samples
        if n_samples > duration_s * RATE_HZ:
            return blocks
    raise AssertionError("it ended")


def expected_peak_hz(usb, tone_hz, center_hz=CENTER_HZ):
    """Where a carrier appears: the tuner's PLL stands some hertz beside what it was told."""
    return tone_hz + center_hz - usb.told(SERIAL).center_hz


def test_it_streams_without_loss_and_finds_the_carrier(usb, source_of):
    source = source_of(bias_tee=True)
    source.open()
    blocks = read_for(source, 3.0)
    assert sum(block.lost_samples for block in blocks) == 0
    assert blocks[0].discarded_samples >= 0.1 * RATE_HZ
    assert [block.discarded_samples for block in blocks[1:]] == [0] * (len(blocks) - 1)
    assert blocks[0].gain_db == 28.0
    told = usb.told(SERIAL)
    assert told.gain_db == 28.0
    assert told.bias_tee
    assert told.rate_hz == RATE_HZ
    for block in (blocks[0], blocks[-1]):
        expected_hz = expected_peak_hz(usb, TONE_HZ)
        assert peak_hz(block) == pytest.approx(expected_hz, abs=RESOLUTION_HZ)
    elapsed_s = (blocks[-1].end_utc_ns - blocks[0].start_utc_ns) / 1e9
    assert elapsed_s == pytest.approx(len(blocks) * 65_536 / RATE_HZ, abs=0.1)


def test_it_is_tuned_while_it_streams(usb, source_of):
    source = source_of()
    source.open()
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 3:
            source.tune(434_000_000)
        if len(blocks) == 6:
            break
    assert [block.center_freq_hz / 1e6 for block in blocks] == [446] * 3 + [434] * 3
    assert blocks[3].discarded_samples >= 0.1 * RATE_HZ
    for block in blocks[3:]:
        expected_hz = expected_peak_hz(usb, 433_920_000, 434_000_000)
        assert peak_hz(block) == pytest.approx(expected_hz, abs=RESOLUTION_HZ)


def test_a_second_client_is_told_that_it_is_busy_and_served_when_the_first_has_left(source_of):
    first, second, third = source_of(), source_of(timeouts={"header_timeout_s": 0.5}), source_of()
    first.open()
    read_for(first, 0.1)
    with pytest.raises(SourceError, match="busy") as caught:
        second.open()
    assert caught.value.pause_s == 15
    second.close()
    threading.Timer(0.3, first.close).start()
    third.open()
    assert read_for(third, 0.1)


def test_a_server_that_is_killed_is_said_and_read_again_when_it_is_back(usb, server, source_of):
    source = source_of()
    source.open()
    blocks = source.blocks()
    next(blocks)
    server.kill()
    killed_s = time.monotonic()
    with pytest.raises(SourceError, match=r"closed the connection|the connection broke"):
        for _ in blocks:
            pass
    assert time.monotonic() - killed_s < 2
    server.restart()
    again = source_of()
    again.open()
    block = read_for(again, 0.1)[0]
    assert peak_hz(block) == pytest.approx(expected_peak_hz(usb, TONE_HZ), abs=RESOLUTION_HZ)


def test_samples_that_usb_loses_are_found_by_the_clock(usb, source_of):
    source = source_of()
    source.open()
    lost = 0
    for number, block in enumerate(source.blocks()):
        if number == 80:
            usb.lose(SERIAL, RATE_HZ // 2)
        lost += block.lost_samples
        if lost or number > 400:
            break
    assert lost == pytest.approx(RATE_HZ // 2, rel=0.1)


def test_a_dongle_that_is_pulled_out_is_a_stall_of_its_server(usb, server, source_of):
    source = source_of(timeouts={"stall_s": 1.0})
    source.open()
    blocks = source.blocks()
    next(blocks)
    usb.unplug(SERIAL)
    with pytest.raises(SourceError):
        for _ in blocks:
            pass
    usb.replug(SERIAL)
    server.restart()
    again = source_of()
    again.open()
    assert read_for(again, 0.1)
