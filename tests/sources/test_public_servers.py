from __future__ import annotations

import threading

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.public_servers import PublicServers


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def servers(clock):
    return PublicServers(least_pause_s=120, longest_pause_s=1800, monotonic_s=clock)


def refusal(servers, host="kiwi.example", port=8073):
    with pytest.raises(SourceError) as caught:
        servers.lease(host, port)
    return caught.value


def test_a_server_has_one_lease_however_its_name_is_written(servers):
    servers.lease("kiwi.example", 8073)
    error = refusal(servers, "KIWI.Example.")
    assert "another receiver of this station uses it" in str(error)
    assert error.pause_s == 120


def test_another_port_is_another_server(servers):
    servers.lease("kiwi.example", 8073)
    servers.lease("kiwi.example", 8074)


def test_a_server_is_left_alone_between_two_attempts(servers, clock):
    servers.lease("kiwi.example", 8073).release()
    clock.now_s += 30
    error = refusal(servers)
    assert str(error) == "kiwi.example:8073: is left alone for 90 s more"
    assert error.pause_s == 90
    clock.now_s += 90
    servers.lease("kiwi.example", 8073)


def test_the_pause_doubles_with_each_attempt_in_vain_up_to_the_longest(servers, clock):
    pauses_s = []
    for _ in range(7):
        servers.lease("kiwi.example", 8073).release()
        pauses_s.append(refusal(servers).pause_s)
        clock.now_s += pauses_s[-1]
    assert pauses_s == [120, 240, 480, 960, 1800, 1800, 1800]


def test_an_attempt_that_gave_samples_starts_the_pauses_anew(servers, clock):
    for _ in range(3):
        servers.lease("kiwi.example", 8073).release()
        clock.now_s += 1800
    lease = servers.lease("kiwi.example", 8073)
    lease.gave_samples()
    clock.now_s += 7200  # it ran for two hours: the next attempt may be made at once
    lease.release()
    servers.lease("kiwi.example", 8073).release()
    assert refusal(servers).pause_s == 120


def test_what_the_server_asks_for_counts_where_it_is_longer(servers, clock):
    servers.lease("kiwi.example", 8073).release(pause_s=86_400)
    assert refusal(servers).pause_s == 86_400


def test_a_lease_is_given_back_once(servers, clock):
    old = servers.lease("kiwi.example", 8073)
    old.release()
    clock.now_s += 120
    servers.lease("kiwi.example", 8073)
    old.release()
    assert "another receiver" in str(refusal(servers))


def test_of_many_threads_one_gets_the_lease(servers):
    start, got = threading.Barrier(8), []

    def take():
        start.wait()
        try:
            got.append(servers.lease("kiwi.example", 8073))
        except SourceError:
            return

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
