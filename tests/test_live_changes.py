"""What a reload may change."""

from __future__ import annotations

from heimdall_edge.config import Config
from heimdall_edge.config_file import parse_config
from heimdall_edge.live_changes import keys_that_need_restart, with_live_changes

OLD = Config()
NEW = parse_config(
    """
locator = { wait_s = 3.0, min_receivers = 4 }
logging.level = "debug"
[mqtt]
host = "x"
[[channels]]
name = "a"
frequency_hz = 1e6
"""
)


def test_what_cannot_change_live_is_named_by_key():
    assert keys_that_need_restart(OLD, NEW) == ["locator.wait_s", "mqtt"]
    assert keys_that_need_restart(OLD, OLD) == []


def test_only_what_can_change_live_is_taken():
    merged = with_live_changes(OLD, NEW)
    assert merged.locator.min_receivers == 4
    assert merged.locator.wait_s == OLD.locator.wait_s
    assert merged.channels == NEW.channels
    assert merged.logging == NEW.logging
    assert merged.mqtt == OLD.mqtt
