"""The host's clock, and who says how good it is."""

import math
import os
import threading
import time
from dataclasses import replace

import pytest

from heimdall_edge.sources.chrony import ChronyTracking
from heimdall_edge.sources.host_time import (
    ASK_EVERY_S,
    SNTP_SIGMA_S,
    SystemTime,
    clock_of_chrony,
    clock_of_kernel,
    clock_of_ntp_daemon,
)
from heimdall_edge.sources.kernel_clock import KernelClock
from heimdall_edge.sources.ntp_daemon import NtpStatus
from heimdall_edge.types import ClockSource, ClockState

S = 1_000_000_000
NTP = ChronyTracking(
    reference_id=0xC0000207,
    is_reference_clock=False,
    stratum=3,
    leap_status=0,
    current_correction_s=0.001,
    last_offset_s=0.0002,
    rms_offset_s=0.0003,
    skew_ppm=0.1,
    root_delay_s=0.02,
    root_dispersion_s=0.004,
)
KERNEL = KernelClock(
    is_synchronised=True,
    follows_pps=False,
    offset_s=0.0,
    max_error_s=0.5,
    estimated_error_s=0.002,
)


def refclock(name: str) -> ChronyTracking:
    reference_id = int.from_bytes(name.encode().ljust(4, b"\0"), "big")
    return replace(NTP, reference_id=reference_id, is_reference_clock=True, stratum=1)


def system(tmp_path, *, chrony=None, daemon=None, kernel=None, **clocks):
    return SystemTime(
        ask_chrony=lambda: chrony,
        ask_ntp_daemon=lambda: daemon,
        read_kernel=lambda: kernel,
        timesyncd_stamp=tmp_path / "synchronized",
        ptp_sockets=(tmp_path, "phc2sys.*"),
        **clocks,
    )


def test_the_real_host_answers_within_some_milliseconds():
    host = SystemTime()
    began_s = time.monotonic()
    state = host.clock
    assert time.monotonic() - began_s < 0.5
    assert isinstance(state, ClockState)
    assert abs(host.utc_ns() - time.time_ns()) < S
    assert abs(host.monotonic_ns() - time.monotonic_ns()) < S
    assert host.n_steps == 0


def test_chrony_on_the_network_is_ntp_within_its_error_bound():
    state = clock_of_chrony(NTP)
    assert state.source is ClockSource.NTP
    assert state.locked
    assert state.sigma_s == pytest.approx((0.001 + 0.004 + 0.01) / math.sqrt(3))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("GPS", ClockSource.GNSS),
        ("PPS0", ClockSource.GNSS),
        ("NMEA", ClockSource.GNSS),
        ("PHC0", ClockSource.PTP),
        ("DCF", ClockSource.NTP),
    ],
)
def test_a_reference_clock_is_known_by_its_name(name, source):
    assert clock_of_chrony(refclock(name)).source is source


def test_a_server_on_the_network_is_no_gnss_clock_whatever_its_number_spells():
    spells_gps = replace(refclock("GPS"), is_reference_clock=False, stratum=2)
    assert clock_of_chrony(spells_gps).source is ClockSource.NTP


def test_a_chrony_that_follows_nobody_vouches_for_nothing():
    assert clock_of_chrony(replace(NTP, leap_status=3)) == ClockState()


def test_an_ntp_daemon_answers_for_the_clock_that_it_keeps(tmp_path):
    daemon = NtpStatus(0, 2, "", root_delay_s=0.02, root_dispersion_s=0.007)
    state = system(tmp_path, daemon=daemon, kernel=KERNEL).clock
    assert state == ClockState(ClockSource.NTP, pytest.approx(0.017 / math.sqrt(3)), locked=True)
    of_gps = replace(daemon, stratum=1, reference_name="GPS")
    assert clock_of_ntp_daemon(of_gps).source is ClockSource.GNSS


def test_one_that_keeps_none_leaves_the_word_to_the_kernel(tmp_path):
    for daemon in (NtpStatus(3, 2, "", 0.0, 0.0), NtpStatus(0, 1, "LOCL", 0.0, 0.0)):
        assert clock_of_ntp_daemon(daemon) == ClockState()
        assert system(tmp_path, daemon=daemon, kernel=KERNEL).clock.sigma_s == 0.002


def test_the_kernel_answers_where_chrony_does_not(tmp_path):
    state = system(tmp_path, kernel=KERNEL).clock
    assert state == ClockState(ClockSource.NTP, 0.002, locked=True)


def test_a_kernel_that_nobody_steers_vouches_for_nothing():
    assert clock_of_kernel(replace(KERNEL, is_synchronised=False)) == ClockState()


def test_a_kernel_that_was_told_no_error_is_taken_as_a_simple_client():
    state = clock_of_kernel(replace(KERNEL, estimated_error_s=0.0))
    assert state.sigma_s == SNTP_SIGMA_S


def test_what_is_still_to_be_slewed_counts():
    assert clock_of_kernel(replace(KERNEL, offset_s=-0.3)).sigma_s == 0.3


def test_a_pulse_in_the_kernel_is_gnss():
    assert clock_of_kernel(replace(KERNEL, follows_pps=True)).source is ClockSource.GNSS


def test_phc2sys_makes_it_ptp(tmp_path):
    (tmp_path / "phc2sys.123").touch()
    assert system(tmp_path, kernel=KERNEL).clock.source is ClockSource.PTP


def test_timesyncd_answers_where_the_kernel_may_not_be_asked(tmp_path):
    stamp = tmp_path / "synchronized"
    assert system(tmp_path).clock == ClockState()
    stamp.touch()
    assert system(tmp_path).clock == ClockState(ClockSource.NTP, SNTP_SIGMA_S, locked=True)
    os.utime(stamp, (1, 1))
    assert system(tmp_path).clock == ClockState()


def test_the_answer_holds_for_some_seconds_and_is_then_renewed(tmp_path):
    now_ns, asked = [0], []
    host = SystemTime(
        ask_chrony=lambda: asked.append(now_ns[0]),
        ask_ntp_daemon=lambda: None,
        read_kernel=lambda: KERNEL,
        ptp_sockets=(tmp_path, "x"),
        monotonic_ns=lambda: now_ns[0],
    )
    for now_ns[0] in range(0, 4 * round(ASK_EVERY_S) * S, S):
        assert host.clock.locked
    assert len(asked) == 4


def test_a_daemon_that_is_slow_to_answer_once_still_counts(tmp_path):
    now_ns, answers = [0], [refclock("GPS")]
    host = SystemTime(
        ask_chrony=lambda: answers.pop() if answers else None,
        ask_ntp_daemon=lambda: None,
        read_kernel=lambda: KERNEL,
        ptp_sockets=(tmp_path, "x"),
        monotonic_ns=lambda: now_ns[0],
    )
    told = []
    for now_ns[0] in range(0, 100 * S, 10 * S):
        told.append(host.clock.source)
    assert told == [ClockSource.GNSS] * 7 + [ClockSource.NTP] * 3


def test_who_asks_while_another_does_gets_the_latest_answer(tmp_path):
    asking, go_on = threading.Event(), threading.Event()

    def slow():
        asking.set()
        assert go_on.wait(30)

    host = SystemTime(
        ask_chrony=slow,
        ask_ntp_daemon=lambda: None,
        read_kernel=lambda: KERNEL,
        ptp_sockets=(tmp_path, "x"),
    )
    thread = threading.Thread(target=lambda: host.clock)
    thread.start()
    assert asking.wait(30)
    assert host.clock == ClockState()
    go_on.set()
    thread.join()
    assert host.clock.locked


def test_a_step_of_utc_is_counted(tmp_path):
    now_ns, offset_ns = [0], [0]
    host = system(
        tmp_path,
        monotonic_ns=lambda: now_ns[0],
        utc_ns=lambda: now_ns[0] + offset_ns[0],
    )
    for now_ns[0] in range(0, 100 * S, 10 * S):
        offset_ns[0] = 0 if now_ns[0] < 50 * S else -3 * S
        assert host.clock == ClockState()
    assert host.n_steps == 1
