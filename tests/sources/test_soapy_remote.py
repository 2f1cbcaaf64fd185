"""A device behind the real SoapySDRServer, through the real SoapyRemote client."""

# ruff: noqa: F401, F811  (fixtures come by import)
import time
from itertools import islice

import pytest

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S

from .soapy_fixtures import (
    RATE_HZ,
    TONE_HZ,
    device_of,
    module_folder,
    server,
    source_of,
    sources_of,
)
from .test_soapy import peak_of

PATIENCE_S = 20.0


@pytest.fixture
def remote_of(server, device_of, source_of):
    """A device behind the server, and a new source of it at each call."""
    device = device_of()

    def make(*, transport="tcp", **settings):
        timeouts = {"stall_timeout_s": 1.0, "open_timeout_s": 5.0}
        args = server.args_of(device.args, transport=transport)
        return source_of(args, timeouts=timeouts, **settings)

    make.device = device
    return make


def read(source, n_blocks):
    return list(islice(source.blocks(), n_blocks))


def error_of(source):
    with pytest.raises(SourceError) as caught:
        read(source, 10_000)
    return caught.value


def reopened(make):
    """A source that opens, as supervision finds one: attempt by attempt."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        source = make()
        try:
            source.open()
        except SourceError:
            assert time.monotonic() < deadline_s
            source.close()
            time.sleep(0.1)
        else:
            return source


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_the_tone_is_found_through_the_network(remote_of, transport):
    source = remote_of(transport=transport)
    source.open()
    blocks = read(source, 5)
    assert {block.datatype for block in blocks} == {"ci16_le"}
    assert peak_of(blocks[-1])[0] == pytest.approx(TONE_HZ, abs=20)
    assert sum(block.lost_samples for block in blocks) == 0
    assert "HEIMDALLSIM" in source.device


def test_settings_reach_the_far_device_and_what_it_lacks_is_refused(remote_of):
    source = remote_of(antenna="LNAH", settings={"biastee": "true"})
    source.open()
    assert "antenna 0 LNAH" in remote_of.device.made
    assert "setting biastee 0 true" in remote_of.device.made
    source.close()
    with pytest.raises(SourceDataError, match="expected one of RX, LNAH"):
        remote_of(antenna="TX").open()


def test_a_far_overflow_is_counted_by_the_far_devices_time(remote_of):
    source = remote_of()
    source.open()
    read(source, 20)
    remote_of.device.overflow(20_000)
    assert sum(block.lost_samples for block in read(source, 8)) == 20_000


def test_it_is_tuned_over_the_network(remote_of):
    source = remote_of()
    source.open()
    read(source, 1)
    source.tune(100.2e6)
    (after,) = read(source, 1)
    assert after.center_freq_hz == 100.2e6
    # What was under way in the network is still of the old centre, for longer than it settles.
    assert peak_of(read(source, 4)[-1])[0] == pytest.approx(TONE_HZ, abs=20)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_server_that_goes_is_given_up_in_time(server, remote_of, way, transport):
    """By UDP, SoapyRemote's readStream then hangs for ever: its process is killed."""
    source = remote_of(transport=transport)
    source.open()
    read(source, 1)
    getattr(server, way)()
    gone_at_s = time.monotonic()
    error = error_of(source)
    assert time.monotonic() - gone_at_s < 4.0
    assert not isinstance(error, SourceDataError)
    closed_at_s = time.monotonic()
    source.close()
    assert time.monotonic() - closed_at_s < CLOSE_TIMEOUT_S


def test_a_server_that_comes_back_is_found_again(server, remote_of):
    source = remote_of()
    source.open()
    read(source, 1)
    server.kill()
    error_of(source)
    source.close()
    absent = remote_of()
    with pytest.raises(SourceError) as caught:
        absent.open()
    assert not isinstance(caught.value, SourceDataError)
    absent.close()
    server.restart()
    again = reopened(remote_of)
    assert len(read(again, 3)) == 3
    assert {block.sample_rate_hz for block in read(again, 1)} == {RATE_HZ}


def test_a_server_that_is_paused_and_goes_on_is_found_again(server, remote_of):
    source = remote_of()
    source.open()
    read(source, 1)
    server.pause()
    error_of(source)
    source.close()
    server.resume()
    assert len(read(reopened(remote_of), 3)) == 3
