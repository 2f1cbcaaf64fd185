"""SampleClock on a real stream: samples through a socket, in real time, some of them not sent."""

import socket
import threading
import time

from heimdall_edge.sources.host_time import SystemTime
from heimdall_edge.sources.sample_clock import SampleClock

RATE_HZ, CHUNK = 48_000, 960
CHUNK_S = CHUNK / RATE_HZ
STALL_AT_S, STALL_S, LOSS_AT_S, LOSS_S, END_S = 1.0, 0.7, 3.0, 0.3, 8.5


def send(peer: socket.socket) -> None:
    """A receiver that stalls once, catches up, and later loses samples."""
    began_s = time.monotonic()
    for number in range(round(END_S / CHUNK_S)):
        taken_s = (number + 1) * CHUNK_S
        is_held = STALL_AT_S < taken_s < STALL_AT_S + STALL_S
        due_s = STALL_AT_S + STALL_S if is_held else taken_s
        time.sleep(max(0.0, began_s + due_s - time.monotonic()))
        if not LOSS_AT_S <= taken_s - CHUNK_S / 2 < LOSS_AT_S + LOSS_S:
            peer.sendall(bytes(2 * CHUNK))
    peer.close()


def test_what_was_not_sent_is_found_and_a_stall_is_not():
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=send, args=(theirs,))
    host = SystemTime()
    clock = SampleClock(sample_rate_hz=RATE_HZ, host=host)
    told = []
    sender.start()
    with ours, ours.makefile("rb") as stream:
        while len(stream.read(2 * CHUNK)) == 2 * CHUNK:
            told.append((time.time_ns(), clock.arrived(CHUNK, host.monotonic_ns())))
    sender.join()
    lost = [arrival.lost_samples for _, arrival in told if arrival.lost_samples]
    assert len(lost) == 1
    assert abs(lost[0] / RATE_HZ - LOSS_S) < 0.03
    end_utc_ns, last = told[-1]
    assert last.sample_start + CHUNK == len(told) * CHUNK + lost[0]
    assert abs(end_utc_ns - last.start_utc_ns - CHUNK_S * 1e9) < 0.1e9
