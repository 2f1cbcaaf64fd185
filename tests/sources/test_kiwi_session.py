from __future__ import annotations

import logging

import pytest

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.public_servers import PublicServers
from tests.conftest import free_port
from tests.emulators.kiwi_air import Noise
from tests.emulators.kiwi_server import KiwiServer
from tests.sources.kiwi_reading import BEGUN_UTC_NS, failure_of, opened, until


@pytest.fixture
def world(kiwi_world):
    return kiwi_world


@pytest.fixture
def server(kiwi_server):
    return kiwi_server


@pytest.fixture
def source_for(kiwi_source_for):
    return kiwi_source_for


# ── a good guest ──────────────────────────────────────────────────────────────────────────


def test_it_asks_the_page_first_says_who_it_is_and_stays_alive(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda block: block.sample_start > 12_000 * 12)
    assert server.status_asked == server.visits == 1
    assert server.commands[0] == "SET auth t=kiwi p="
    assert "SET ident_user=heimdall-edge%20test" in server.commands
    assert 3 <= server.commands.count("SET keepalive") <= 6  # one in 5 s of air


@pytest.mark.parametrize("refuse", ["busy_status", "offline"])
def test_a_full_or_offline_server_is_not_bothered_for_a_channel(server, source_for, refuse):
    server.refuse = refuse
    error = failure_of(source_for(server))
    assert error.pause_s >= 600
    assert server.visits == 0


def test_a_receiver_never_has_two_connections_to_one_server(server, source_for):
    servers = PublicServers()
    first = source_for(server, servers=servers)
    first.open()
    with pytest.raises(SourceError, match="another receiver of this station uses it"):
        source_for(server, servers=servers).open()
    assert server.most_at_once == 1
    first.close()


def test_the_next_attempt_must_wait_and_the_error_says_how_long(server, source_for):
    servers = PublicServers(least_pause_s=120)
    server.refuse = "badp 2"
    assert failure_of(source_for(server, servers=servers)).pause_s == pytest.approx(120, abs=5)
    error = failure_of(source_for(server, servers=servers))
    assert "is left alone for" in str(error)
    assert server.visits == 1


def test_a_password_is_sent_and_shows_nowhere(world, source_for, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    file, limit = tmp_path / "password", tmp_path / "limit"
    file.write_text("open sesame\n")
    limit.write_text("for ever")
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    with KiwiServer(air, time=world, password="open sesame") as server:
        source = source_for(server, password_file=file, time_limit_password_file=limit)
        stream = opened(source)
        assert until(stream, lambda _: True)
        assert server.commands[0] == "SET auth t=kiwi p=open%20sesame ipl=for%20ever"
        file.write_text("wrong\n")
        source.close()
        error = failure_of(source_for(server, password_file=file))
    assert "wrong password" in str(error)
    shown = caplog.text + str(error) + source.device
    assert not any(secret in shown for secret in ("sesame", "for ever", "for%20ever"))


def test_a_time_limit_is_lifted_without_another_password(server, source_for, tmp_path):
    limit = tmp_path / "limit"
    limit.write_text("for ever\n")
    server.time_limit_password = "for ever"
    source = source_for(server, time_limit_password_file=limit)
    assert until(opened(source), lambda _: True)
    source.close()
    error = failure_of(source_for(server))
    assert "its limit of 60 minutes a day" in str(error)
    assert error.pause_s == 86_400


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "expected a password"),
        (b"\xff\n", "UTF-8"),
        (b"x" * 999, "256"),
    ],
)
def test_a_password_file_that_is_none_is_named(server, source_for, tmp_path, content, why):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SourceError, match=why) as caught:
        source_for(server, password_file=file).open()
    assert str(file) in str(caught.value)
    assert server.status_asked == 0


# ── refusals ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("refuse", "reason", "pause_s"),
    [
        ("too_busy", "all 4 channels are taken", 600),
        *[(f"badp {n}", "", 60 if n in (2, 6) else 600) for n in range(1, 8)],
        ("down 0", "switched off: 'back at noon'", 1800),
        ("down 1", "updating", 600),
        ("wb_only", "wide-band", 3600),
        ("exclusive_use", "for himself", 1800),
        ("password_timeout", "waited too long", 600),
        ("inactivity_timeout", "limit of 30 minutes", 3600),
        ("ip_limit", "limit of 60 minutes a day", 86_400),
        ("camp_disconnect", "listened along", 600),
        ("close", "closed", 0),
    ],
)
def test_each_refusal_names_the_server_its_reason_and_its_pause(
    server, source_for, refuse, reason, pause_s
):
    server.refuse = refuse
    error = failure_of(source_for(server, servers=PublicServers(least_pause_s=0)))
    assert str(error).startswith(f"127.0.0.1:{server.port}: ")
    assert reason in str(error)
    assert error.pause_s >= pause_s
    assert not isinstance(error, SourceDataError)


@pytest.mark.parametrize("refuse", ["too_busy", "ip_limit", "badp 5"])
def test_a_refusal_is_read_though_the_server_hangs_up_at_once(server, source_for, refuse):
    server.refuse, server.is_abrupt = refuse, True
    assert failure_of(source_for(server)).pause_s >= 600


@pytest.mark.parametrize(
    ("words", "reason", "pause_s"),
    [
        ("inactivity_timeout=30", "30 minutes", 3600),
        ("too_busy=4", "all 4 channels", 600),
        ("freq_offset=100.000", "frequency offset went", 0),
    ],
)
def test_a_server_may_change_its_mind_under_way(server, source_for, words, reason, pause_s):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.say(words)
    with pytest.raises(SourceError, match=reason) as caught:
        until(stream, lambda _: False)
    assert caught.value.pause_s >= pause_s


def test_a_server_of_another_kind_is_named(server, source_for):
    server.refuse = "garbage_status"
    assert "expected a KiwiSDR's /status" in str(failure_of(source_for(server)))
    server.refuse = "no_status"
    assert "HTTP 404 for /status" in str(failure_of(source_for(server)))


def test_nobody_there_is_named(server, source_for):
    port = free_port()
    error = failure_of(source_for(server, wish={"address": Address("127.0.0.1", port)}))
    assert f"127.0.0.1:{port}: cannot connect" in str(error)


@pytest.mark.parametrize("gain_db", [-1.0, 101.0])
def test_a_gain_that_it_does_not_have_can_never_work(server, source_for, gain_db):
    with pytest.raises(SourceDataError, match="expected 0 to 100"):
        source_for(server, wish={"gain_db": gain_db}).open()


def test_a_frequency_that_it_does_not_receive_can_never_work(server, source_for):
    with pytest.raises(SourceDataError, match="446000000 is outside"):
        source_for(server, wish={"center_freq_hz": 446e6}).open()


# ── redirections ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("refuse", ["redirect", "http_redirect", "status_redirect"])
def test_a_redirection_is_followed_without_the_password(
    world, server, source_for, refuse, tmp_path
):
    (tmp_path / "password").write_text("sesame\n")
    with KiwiServer(Noise(begun_utc_ns=BEGUN_UTC_NS), time=world) as other:
        server.refuse, server.redirect_to = refuse, f"http://127.0.0.1:{other.port}/"
        source = source_for(server, password_file=tmp_path / "password")
        stream = opened(source)
        assert until(stream, lambda _: True)
        assert f":{other.port}" in source.device
        assert "sesame" not in "".join(other.commands)
        source.close()


def test_a_redirection_in_a_circle_ends(world, server, source_for):
    with KiwiServer(Noise(begun_utc_ns=BEGUN_UTC_NS), time=world) as other:
        server.refuse = other.refuse = "redirect"
        server.redirect_to = f"http://127.0.0.1:{other.port}"
        other.redirect_to = f"http://127.0.0.1:{server.port}"
        error = failure_of(source_for(server))
    assert "it leads in a circle" in str(error)
    assert error.pause_s >= 600
    assert (server.visits, other.visits) == (1, 1)


# ── faults ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("kill", "connection|closed"),
        ("drop", "connection|closed"),
        ("stall", "no samples for 5 s"),
        ("trickle", "no samples for 5 s"),
        ("send_garbage", "sound frame of 11 bytes"),
        ("send_oversize", "code 1009"),
    ],
)
def test_each_fault_is_an_error_that_names_the_server(server, source_for, fault, reason):
    source = source_for(server, stall_s=5.0)
    stream = opened(source)
    until(stream, lambda _: True)
    getattr(server, fault)()
    with pytest.raises(SourceError, match=reason) as caught:
        until(stream, lambda _: False)
    assert str(caught.value).startswith(f"127.0.0.1:{server.port}: ")


def test_half_a_frame_is_an_error(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.half_header = True
    with pytest.raises(SourceError, match=r"sound frame of 13 bytes .*expected 'SND'"):
        until(stream, lambda _: False)


def test_messages_of_other_kinds_are_passed_over(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    for message in (b"W/F" + bytes(900), b"EXT hello=1", b"", b"MSG new_thing=1 other"):
        server.send_raw(message)
    assert until(stream, lambda block: block.sample_start > 40_000)


def test_time_that_goes_back_is_an_error(server, source_for):
    source = source_for(server)
    stream = opened(source)
    until(stream, lambda _: True)
    server.stamp_shift_ns = -2_000_000_000
    with pytest.raises(SourceError, match="its time went back by"):
        until(stream, lambda _: False)


def test_after_a_restart_a_new_source_gives_samples_again(server, source_for):
    servers = PublicServers(least_pause_s=0)
    source = source_for(server, servers=servers)
    stream = opened(source)
    until(stream, lambda _: True)
    server.kill()
    with pytest.raises(SourceError):
        until(stream, lambda _: False)
    with pytest.raises(SourceError, match="cannot connect"):
        source_for(server, servers=servers).open()
    server.restart()
    again = source_for(server, servers=servers)
    stream = opened(again)
    assert until(stream, lambda _: True)
    again.close()
