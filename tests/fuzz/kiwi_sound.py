"""Arbitrary bytes into the reader of a KiwiSDR's sound frames."""

from __future__ import annotations

from heimdall_edge.sources.kiwi_frames import parse_sound


def one_input(data: bytes) -> None:
    try:
        frame = parse_sound(data)
    except ValueError:
        return
    assert frame.n_samples * 4 == len(frame.payload) == len(data) - 20
    assert -1 <= frame.stamp_ns < 604_800 * 10**9
    assert frame.smeter_dbm is None or -127 <= frame.smeter_dbm < 3.5
