"""UTC less monotonic time: constant, but for steps."""

import time

from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.utc_offset import UtcOffset

S = 1_000_000_000


class Host:
    """Clocks that take time to read."""

    def __init__(self):
        self.now_ns, self.offset_ns, self.reading_ns = 5 * S, 1_790_000_000 * S, [100]

    def utc_ns(self):
        return self.monotonic_ns() + self.offset_ns

    def monotonic_ns(self):
        self.now_ns += self.reading_ns[0] if len(self.reading_ns) == 1 else self.reading_ns.pop(0)
        return self.now_ns


def offset_of(host):
    return UtcOffset(utc_ns=host.utc_ns, monotonic_ns=host.monotonic_ns)


def test_the_offset_is_known_to_half_a_reading():
    host = Host()
    assert abs(offset_of(host).read_ns() - host.offset_ns) <= 100


def test_reading_noise_does_not_move_it():
    host = Host()
    offset = offset_of(host)
    first = offset.read_ns()
    for reading_ns in (100, 5_000, 300, 15_000_000, 80):
        host.reading_ns = [reading_ns]
        assert offset.read_ns() == first
    assert offset.n_steps == 0


def test_a_thread_switch_within_a_reading_is_read_again():
    host = Host()
    host.reading_ns = [100, 3 * S, 100, 100]
    assert abs(offset_of(host).read_ns() - host.offset_ns) <= 100


@given(st.integers(-(10**18), 10**18))
def test_a_step_is_followed_at_once_and_counted_from_a_quarter_of_a_second(step_ns):
    host = Host()
    offset = offset_of(host)
    offset.read_ns()
    host.offset_ns += step_ns
    assert abs(offset.read_ns() - host.offset_ns) <= 200
    if abs(step_ns) > 251_000_000:
        assert offset.n_steps == 1
        assert abs(offset.last_step_ns - step_ns) <= 200
    elif abs(step_ns) < 249_000_000:
        assert offset.n_steps == 0


def test_on_this_host_it_stands_still():
    offset = UtcOffset(utc_ns=time.time_ns, monotonic_ns=time.monotonic_ns)
    first = offset.read_ns()
    assert all(abs(offset.read_ns() - first) < 50_000_000 for _ in range(1000))
