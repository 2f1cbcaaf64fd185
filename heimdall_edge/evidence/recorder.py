"""Writes clips to disk, on a thread of its own: a slow or full disk never stops detection.

::

    Tape (a receiver's worker) ─Clip─▶ [bounded queue] ─▶ recorder ─▶ Retention ─▶ SigMF files
                                        full: counted        disk full, read-only: counted

What is not written is counted by its reason, and said at most every 30 s; so is that it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from heimdall_edge import journal
from heimdall_edge.config import Channel
from heimdall_edge.config_capture import Capture
from heimdall_edge.evidence.clip import Clip
from heimdall_edge.evidence.retention import Retention, clip_name
from heimdall_edge.evidence.sigmf_writer import EmptyClipError, write_clip
from heimdall_edge.evidence.tape import Tape
from heimdall_edge.types import ReceiverInfo

log = journal.logger("evidence")

SAY_EVERY_S = 30.0
LOOK_EVERY_S = 60.0
"""How often old recordings are looked for while nothing is heard."""
NICENESS = 10
"""Of the writing thread: detection comes first."""
REASONS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "not_writable",
    errno.EACCES: "not_writable",
    errno.EPERM: "not_writable",
    errno.ENOENT: "no_folder",
    errno.ENOTDIR: "no_folder",
    errno.EEXIST: "no_folder",
}


class Recorder:
    """Owns the folder of recordings and the thread that writes to it.

    Workers hand over clips by :meth:`offer`, which never waits. Shared state is the queue, and
    what ``_guard`` guards: the counts, and the bytes that wait.

    Parameters
    ----------
    capture
        What to keep, and how much of it.
    folder
        Where; made if it is not there.
    write
        Writes one clip; for tests of slow disks.
    """

    def __init__(
        self,
        capture: Capture,
        folder: Path,
        *,
        write: Callable[..., int] = write_clip,
        retention: Retention | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capture, self._folder, self._write = capture, folder, write
        self._retention = retention or Retention(folder, capture, utc_ns=time.time_ns)
        self._monotonic_s = monotonic_s
        self._queue: queue.SimpleQueue[Clip | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._queued_bytes = 0
        self._counts: Counter[str] = Counter()
        self._used_bytes = 0
        self._give_up_s: float | None = None
        """When, by the monotonic clock, whatever still waits is given up; None: it runs."""
        self._unsaid: Counter[str] = Counter()
        self._said_s = -SAY_EVERY_S
        self._last_error = ""
        self._disk_fails = False
        self.thread = threading.Thread(target=self._run, name="evidence")

    # ── from outside ──────────────────────────────────────────────────────────────────────

    def tape(self, receiver: ReceiverInfo, channels: Sequence[Channel]) -> Tape | None:
        """A tape for one receiver's worker; None where nothing of that receiver is to be kept."""
        wanted = self._capture.receivers
        if wanted is not None and receiver.receiver_id not in wanted:
            return None
        return Tape(
            receiver=receiver,
            channels=channels,
            capture=self._capture,
            deliver=self.offer,
            count=self.count,
        )

    def start(self) -> None:
        self.thread.start()

    def offer(self, clip: Clip) -> bool:
        """Have a clip written, if there is room for it in the queue; never waits."""
        with self._guard:
            closing = self._give_up_s is not None
            is_full = self._queued_bytes + clip.n_bytes > self._capture.queue_max_bytes
            if not closing and not is_full:
                self._queued_bytes += clip.n_bytes
                self._queue.put(clip)
                return True
        self.count("stopped" if closing else "queue_full")
        return False

    def count(self, reason: str) -> None:
        """Count a transmission that is kept in part, or not at all; from any thread."""
        with self._guard:
            self._counts[reason] += 1
            self._unsaid[reason] += 1

    def close(self, deadline_monotonic_s: float) -> None:
        """Take nothing more, and write what waits until the deadline; idempotent.

        Call it once the workers are done; then join :attr:`thread`.
        """
        with self._guard:
            if self._give_up_s is None:
                self._give_up_s = deadline_monotonic_s
                self._queue.put(None)

    @property
    def counts(self) -> Mapping[str, int]:
        """``written`` → recordings; any other reason → transmissions not kept as they should."""
        with self._guard:
            return dict(self._counts)

    @property
    def deleted(self) -> Mapping[str, int]:
        """Reason → recordings deleted."""
        return self._retention.deleted

    @property
    def queued_bytes(self) -> int:
        with self._guard:
            return self._queued_bytes

    @property
    def used_bytes(self) -> int:
        """Size of the folder's recordings, as of the last look."""
        return self._used_bytes

    # ── the thread ────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the systemd unit's filter forbids it: so be it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        self._tend(self._retention.clean)
        while True:
            self._tend(self._retention.make_room)
            self._say()
            clip = self._next(LOOK_EVERY_S)
            while clip is not None:
                self._keep(clip)
                self._say()
                clip = self._next(0.0)
            if self._give_up_s is not None and self._queue.empty():
                return

    def _next(self, wait_s: float) -> Clip | None:
        """The next clip; None when there is none for a while, or it is to end."""
        try:
            return self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
        except queue.Empty:
            return None

    def _keep(self, clip: Clip) -> None:
        """Write one clip, or count why not."""
        try:
            reason = self._try(clip)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, "disk_error")
            self._last_error, self._disk_fails = str(error), True
        except EmptyClipError:
            reason = "no_samples"
        finally:
            with self._guard:
                self._queued_bytes -= clip.n_bytes
        if reason is None:
            with self._guard:
                self._counts["written"] += 1
            if self._disk_fails:
                self._last_error, self._disk_fails = "", False
                log.info("evidence_goes_on", folder=str(self._folder))
        else:
            self.count(reason)

    def _try(self, clip: Clip) -> str | None:
        """Write one clip; why not, where that is by design."""
        if self._give_up_s is not None and self._monotonic_s() >= self._give_up_s:
            return "stopped"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._retention.make_room(clip.recording_bytes):
            self._disk_fails = True
            return "no_room"
        self._used_bytes += self._write(clip, self._folder, clip_name(clip))
        return None

    def _tend(self, action: Callable[[], object]) -> None:
        """Look after the folder; a disk that does not let it is said, and looked at again."""
        try:
            if self._folder.is_dir():
                action()
                self._used_bytes = self._retention.used_bytes()
        except OSError as error:
            self._last_error = str(error)
            self.count("not_tended")

    def _say(self) -> None:
        """Tell what was not kept, if it was not told lately."""
        now_s = self._monotonic_s()
        with self._guard:
            if not self._unsaid or now_s - self._said_s < SAY_EVERY_S:
                return
            unsaid, self._unsaid, self._said_s = dict(self._unsaid), Counter(), now_s
        fields = {"error": self._last_error} if self._last_error else {}
        log.warning("evidence_not_kept", folder=str(self._folder), **unsaid, **fields)
