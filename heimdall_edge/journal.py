"""Logs for journald: one line an event, key=value or JSON, with its priority, rate-limited.

``log = journal.logger("pipeline")``, then ``log.warning("receiver_state", receiver="rx1",
reason=…)``: the event's name is constant, what varies goes into the keys.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import IO, Any, Literal

ROOT = "heimdall_edge"
PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Of sd-daemon(3): the number between angle brackets that starts a line."""
BURST_LINES = 5
WINDOW_S = 30.0
PLAIN_VALUE = re.compile(r"[-+._:/@%A-Za-z0-9°…]+")


class EventLog:
    """A named log that takes an event and its keys."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{ROOT}.{name}")

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, error: BaseException | None, **fields: object) -> None:
        """An error with its traceback."""
        self._logger.error(event, exc_info=error, extra={"fields": fields})

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, event, extra={"fields": fields})


def logger(name: str) -> EventLog:
    """The log of one part of the daemon."""
    return EventLog(name)


class EventFormatter(logging.Formatter):
    """One line an event; a line break inside a value cannot start a forged line."""

    def __init__(self, *, style: Literal["key_value", "json"], with_priority: bool) -> None:
        super().__init__()
        self._layout = style
        self._with_priority = with_priority

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "event": record.getMessage(),
            "part": record.name.removeprefix(f"{ROOT}."),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self._layout == "json":
            line = json.dumps(fields, default=str, ensure_ascii=False)
        else:
            line = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
        return f"<{PRIORITIES.get(record.levelno, 5)}>{line}" if self._with_priority else line


def _plain(value: object) -> str:
    """A value as it is where that is safe, else quoted with escapes."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if PLAIN_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class RateLimit(logging.Filter):
    """Lets a few lines of one event through in a while, and says how many it held back.

    Events are counted apart by name and by receiver, so that one noisy receiver hides no other.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        fields: dict[str, Any] = getattr(record, "fields", {})
        key = (record.getMessage(), fields.get("receiver"))
        now_s = self._clock()
        began_s, count = self._windows.get(key, (now_s, 0))
        if now_s - began_s >= WINDOW_S:
            if count > BURST_LINES:
                record.fields = {**fields, "suppressed": count - BURST_LINES}
            began_s, count = now_s, 0
        if len(self._windows) > 10_000:
            self._windows.clear()
        self._windows[key] = (began_s, count + 1)
        return count < BURST_LINES


def configure(
    *,
    level: str = "info",
    style: Literal["key_value", "json"] = "key_value",
    stream: IO[str] | None = None,
    with_priority: bool = False,
) -> None:
    """Send the daemon's events to a stream (standard error by default), and nothing twice."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EventFormatter(style=style, with_priority=with_priority))
    handler.addFilter(RateLimit())
    root = logging.getLogger(ROOT)
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False


def set_level(level: str) -> None:
    """Change how much is written, from now on."""
    logging.getLogger(ROOT).setLevel(level.upper())
