"""A receiver's state, and the outbox's, as they are published."""

from __future__ import annotations

import math

from heimdall_edge.publish.outbox import OutboxState
from heimdall_edge.publish.payload_station import ReceiverPayload
from heimdall_edge.publish.wire_station import outbox_payload, receiver_payload
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    FrequencyError,
    Place,
    ReceiverState,
    ReceiverStatus,
    SampleCount,
)

STATUS = ReceiverStatus(
    receiver_id="rx1",
    state=ReceiverState.RECONNECTING,
    since_utc_ns=1_790_000_000 * 10**9,
    reason="no samples for 5 s " + "x" * 2000,
    sample_rate_hz=2.4e6,
    gain_db=20.7,
    count=SampleCount(received=1000, lost=5, dropped=6, clipped=10),
    noise_floor_dbfs={"r1": -93.5, "r2": -math.inf},
    clock=ClockState(ClockSource.NTP, 1e-3, locked=True),
    place=Place(45.0, 7.0),
    frequency_error=FrequencyError(-31.5, 1.2),
    device="R820T, serial 00000001, gain 20.7 dB, 2.4 Msps",
)


def test_a_receiver_is_published_as_the_contract_says() -> None:
    payload = receiver_payload(STATUS, station="monte", published_at_utc_ns=0)
    assert payload["schema"] == "heimdall.receiver/1"
    assert payload["state"] == "reconnecting"
    assert payload["since"] == "2026-09-21T14:13:20.000000Z"
    assert payload["samples"] == {
        "received": 1000, "lost": 5, "dropped": 6, "clipped": 10,
        "clipped_fraction": 0.01,
    }  # fmt: skip
    assert payload["noise_floor_dbfs"] == {"r1": -93.5}
    assert payload["ppm"] == -31.5
    assert payload["ppm_sigma"] == 1.2
    assert payload["device"] == "R820T, serial 00000001, gain 20.7 dB, 2.4 Msps"
    assert len(payload["reason"]) == 1024
    assert "outbox" not in payload
    ReceiverPayload.model_validate(payload)


def test_every_state_has_its_word() -> None:
    for state in ReceiverState:
        status = ReceiverStatus("rx1", state, 0)
        payload = receiver_payload(status, station="monte", published_at_utc_ns=0)
        assert payload["state"] == state.value
        absent = {"sample_rate_hz", "gain_db", "latitude", "reason", "ppm", "ppm_sigma", "device"}
        assert not absent & payload.keys()
        assert "clipped_fraction" not in payload["samples"]


def test_an_outbox_that_has_lost_its_disk_says_so() -> None:
    state = OutboxState(
        depth=3,
        bytes=99,
        oldest_age_s=1.5,
        on_disk=False,
        evicted={"age": 2},
        last_error="database or disk is full",
    )
    outbox = outbox_payload(state)
    payload = receiver_payload(STATUS, station="monte", published_at_utc_ns=0, outbox=outbox)
    assert payload["outbox"] == {
        "depth": 3, "bytes": 99, "oldest_age_s": 1.5, "on_disk": False, "evicted": {"age": 2},
        "last_error": "database or disk is full",
    }  # fmt: skip
