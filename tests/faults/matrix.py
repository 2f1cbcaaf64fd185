"""All faults, kind by kind."""

from __future__ import annotations

import traceback

from heimdall_edge import journal

from . import host, kiwisdr, openwebrx, rtl_tcp, rtlsdr, soapy, spyserver, websdr
from .fault import Fault, Outcome, play

FAULTS: tuple[Fault, ...] = (
    *rtlsdr.FAULTS,
    *soapy.FAULTS,
    *rtl_tcp.FAULTS,
    *spyserver.FAULTS,
    *kiwisdr.FAULTS,
    *openwebrx.FAULTS,
    *websdr.FAULTS,
    *host.FAULTS,
)


def trial(number: int, *, level: str) -> Outcome | str:
    """One trial of a fault, for a process of its own; or what went wrong."""
    journal.configure(level=level)
    try:
        return play(FAULTS[number])
    except Exception:  # the matrix goes on; the row says what happened
        return traceback.format_exc()
