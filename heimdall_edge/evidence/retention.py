"""Which recordings stay: by age, by their size together, by what the disk has left.

Oldest first, by the time that they were written; the folder itself is the only memory, so that a
restart forgets nothing, and whoever deletes by hand is in nobody's way. Files of other names are
never touched.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from heimdall_edge.config_capture import Capture
from heimdall_edge.evidence.clip import Clip
from heimdall_edge.evidence.sigmf_writer import DATA, META, UNFINISHED
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import NS_PER_S

_NAME = re.compile(
    r"(\d{8}T\d{6}\.\d{6}Z_[-._A-Za-z0-9]{1,64}_[-._A-Za-z0-9]{1,64}_[0-9a-f]{8})"
    rf"(?:{re.escape(DATA)}|{re.escape(META)})({re.escape(UNFINISHED)})?",
    re.ASCII,
)


def clip_name(clip: Clip) -> str:
    """When, who, on which channel, and which: ``20260131T123456.789012Z_rx1_pmr1_0a1b2c3d``."""
    first = clip.observations[0]
    instant = rfc3339(first.start_utc_ns).replace("-", "").replace(":", "")
    what = clip.channel.name if clip.channel else "band"
    return f"{instant}_{clip.receiver.receiver_id}_{what}_{first.observation_id[:8]}"


@dataclass(slots=True)
class _Recording:
    """The files of one name."""

    written_ns: int = 0
    n_bytes: int = 0


class Retention:
    """Keeps a folder of recordings within its bounds.

    Parameters
    ----------
    utc_ns
        The clock that the files' own times are of.
    free_bytes
        What the disk that holds a folder has left.
    """

    def __init__(
        self,
        folder: Path,
        capture: Capture,
        *,
        utc_ns: Callable[[], int],
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._folder, self._capture = folder, capture
        self._utc_ns, self._free_bytes = utc_ns, free_bytes
        self._deleted: Counter[str] = Counter()

    @property
    def deleted(self) -> Mapping[str, int]:
        """``age``, ``bytes`` or ``free`` → recordings deleted for it."""
        return dict(self._deleted)

    def used_bytes(self) -> int:
        """What the recordings take together."""
        return sum(recording.n_bytes for _, recording in self._oldest_first())

    def clean(self) -> None:
        """Take away what an earlier process left half written; OSError as the disk says."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            data_alone = path.name.endswith(DATA) and not path.with_suffix(META).exists()
            if match and (match[2] or data_alone):
                path.unlink(missing_ok=True)

    def make_room(self, n_bytes: int = 0) -> bool:
        """Delete what must go, so that ``n_bytes`` more may come; False where they may not.

        Raises OSError where the disk does not let it look or delete.
        """
        kept = self._oldest_first()
        oldest_ns = self._utc_ns() - round(self._capture.max_age_s * NS_PER_S)
        while kept and kept[0][1].written_ns < oldest_ns:
            self._delete(kept.pop(0)[0], "age")
        if n_bytes > self._capture.max_bytes:
            return False
        used = sum(recording.n_bytes for _, recording in kept)
        while kept and used + n_bytes > self._capture.max_bytes:
            name, recording = kept.pop(0)
            used -= recording.n_bytes
            self._delete(name, "bytes")
        while not (has_room := self._has_free(n_bytes)) and kept:
            self._delete(kept.pop(0)[0], "free")
        return has_room

    def _has_free(self, n_bytes: int) -> bool:
        return self._free_bytes(self._folder) - n_bytes >= self._capture.min_free_bytes

    def _delete(self, name: str, why: str) -> None:
        """Metadata first: nobody shall find it without its data."""
        for ending in (META, DATA):
            (self._folder / f"{name}{ending}").unlink(missing_ok=True)
        self._deleted[why] += 1

    def _oldest_first(self) -> list[tuple[str, _Recording]]:
        recordings: dict[str, _Recording] = {}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is None or match[2]:
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # somebody deletes by hand
                continue
            recording = recordings.setdefault(match[1], _Recording())
            recording.written_ns = max(recording.written_ns, status.st_mtime_ns)
            recording.n_bytes += status.st_size
        return sorted(recordings.items(), key=lambda item: (item[1].written_ns, item[0]))
