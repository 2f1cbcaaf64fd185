"""The kernel's word on its clock, from adjtimex(2)."""

import pytest

from heimdall_edge.sources.kernel_clock import (
    STA_CLOCKERR,
    STA_NANO,
    STA_PPSTIME,
    STA_UNSYNC,
    TIME_ERROR,
    Timex,
    kernel_clock_of,
    read_kernel_clock,
)


def test_this_host_lets_its_clock_be_read_or_refuses_but_never_fails():
    clock = read_kernel_clock()
    assert clock is None or clock.max_error_s >= 0


def test_a_steered_clock_has_its_error_in_seconds():
    timex = Timex(status=STA_NANO, offset=250_000, maxerror=12_000, esterror=300)
    clock = kernel_clock_of(timex, 0)
    assert clock.is_synchronised
    assert not clock.follows_pps
    assert clock.offset_s == pytest.approx(250e-6)
    assert clock.max_error_s == pytest.approx(0.012)
    assert clock.estimated_error_s == pytest.approx(300e-6)


def test_without_nanoseconds_the_offset_is_in_microseconds():
    assert kernel_clock_of(Timex(offset=-40), 0).offset_s == pytest.approx(-40e-6)


@pytest.mark.parametrize(
    ("status", "state"), [(STA_UNSYNC, 0), (STA_CLOCKERR, 0), (0, TIME_ERROR), (0x40, TIME_ERROR)]
)
def test_a_clock_that_nobody_steers_is_not_synchronised(status, state):
    assert not kernel_clock_of(Timex(status=status), state).is_synchronised


def test_a_pulse_per_second_is_told():
    assert kernel_clock_of(Timex(status=STA_PPSTIME), 0).follows_pps


def test_nothing_is_changed_by_asking_and_a_refusal_says_nothing():
    modes = []

    def refuses(pointer):
        modes.append(pointer._obj.modes)
        return -1

    assert read_kernel_clock(adjtimex=refuses) is None
    assert modes == [0]
