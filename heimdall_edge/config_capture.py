"""The ``[capture]`` table: which transmissions are kept as recordings, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from heimdall_edge.config_base import Decibels, Name, Seconds, Table


class Capture(Table):
    """Keeps the samples of what was heard, as SigMF recordings; off unless ``enabled``."""

    enabled: bool = False
    path: Path = Path("evidence")
    """A folder of its own, where files of other names are left alone; a relative one lies in
    ``state_dir``."""
    receivers: tuple[Name, ...] | None = None
    """Whose transmissions are kept; all of them when left out."""
    channels: tuple[Name, ...] | None = None
    """On which channels; all of them when left out."""
    min_snr_db: Decibels | None = None
    """Weaker ones are not kept; all are when left out."""
    min_duration_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    """Shorter ones are not kept."""
    scope: Literal["channel", "band"] = "channel"
    """``channel`` keeps the channel's own IQ (about 0.15 MB a second for 12.5 kHz),
    ``band`` all that the receiver sampled (4.8 MB a second at 2.4 Msps)."""
    before_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    """How much is kept from before it began."""
    after_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    """How much is kept from after it ended."""
    max_burst_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Transmissions that touch share a recording up to this length; at least the channels'
    ``max_duration_s``, so that the start still is at hand when the end is known."""
    ring_max_bytes: Annotated[int, Field(ge=2**20, le=2**34)] = 64 * 2**20
    """Memory, of each receiver, for its last seconds; what does not fit has no start."""
    queue_max_bytes: Annotated[int, Field(ge=2**20, le=2**34)] = 64 * 2**20
    """Memory, for all of them, for what waits to be written; the rest is left out, and counted."""
    max_age_s: Seconds = 30 * 86_400.0
    """Older recordings are deleted …"""
    max_bytes: Annotated[int, Field(ge=2**20, le=2**50)] = 2 * 2**30
    """… and the oldest ones, to keep all of them under this …"""
    min_free_bytes: Annotated[int, Field(ge=0, le=2**50)] = 2**30
    """… and to leave so much of the disk free for everybody else."""
