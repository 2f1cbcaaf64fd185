"""The daemon's side of a driver's process: start it, read its frames, and end it whatever it does.

::

    start() ──▶ HELLO          frames() ──▶ SAMPLES, EVENT …          close(): any thread, any time
      ERROR, its death, or      ERROR, its death, or silence            stdin closed, then SIGKILL
      silence: SourceError      of N s: SourceError                     within a second, reaped

A stalled dongle blocks the C call for ever, and a driver may crash: both end that process alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from heimdall_edge.drivers.framing import Frame, FrameKind, FrameParser, FramingError
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.chatter import Chatter, readable

PACKAGE_ROOT = Path(__file__).parents[2]
PIPE_BYTES = 1024 * 1024
READ_BYTES = 256 * 1024
OPEN_TIMEOUT_S = 20.0
STALL_TIMEOUT_S = 5.0
POLITE_S = 0.5
"""How long a driver may take to let go of its device."""
DEATH_S = 0.3
"""How long a killed process is waited for; one that the kernel holds is reaped in the background"""


class DriverProcess:
    """One driver, in a process of its own.

    ``start``, ``send`` and ``frames`` belong to one thread; ``close`` may come from any. The
    process dies with the thread that called ``start``.

    Shared state: the process and its pipes, guarded by ``_guard``. Whoever reads holds it only
    while reading, and lets go as soon as ``_closed`` is set and the bell rings.

    Parameters
    ----------
    module
        What is run, as ``python -m module``.
    settings
        Told on its standard input: they stand in no process list.
    name
        Of the device, for messages: ``RTL-SDR 00000001``.
    open_timeout_s
        How long it may take until HELLO.
    stall_timeout_s
        How long it may take from one SAMPLES frame to the next.
    """

    def __init__(
        self,
        *,
        module: str,
        settings: Mapping[str, object],
        name: str,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._module, self._settings, self.name = module, settings, name
        self._open_timeout_s, self._stall_timeout_s = open_timeout_s, stall_timeout_s
        self._monotonic_s = monotonic_s
        self._process: subprocess.Popen[bytes] | None = None
        self._parser = FrameParser()
        self._chatter = Chatter()
        self._closed = threading.Event()
        self._closing, self._guard = threading.Lock(), threading.Lock()
        self._bell = self._bell_rope = -1

    def start(self) -> dict[str, Any]:
        """Start it, and wait until it has opened its device; what it says in HELLO.

        Raises
        ------
        SourceError
            The driver cannot open the device, dies, or takes too long.
        SourceDataError
            It says that trying again will not help.
        """
        with self._guard:
            if self._closed.is_set():
                raise SourceError(f"{self.name}: was closed")
            self._process = self._popen()
            self._bell, self._bell_rope = os.pipe()
        self.send(self._settings)
        for frame in self._frames(self._open_timeout_s, "did not open for {s:g} s"):
            if frame.kind is not FrameKind.HELLO:
                raise self._killed(f"driver's output is not what was agreed: {frame.kind.name}")
            return self._json_of(frame)
        raise SourceError(f"{self.name}: was closed while it was being opened")

    def frames(self) -> Iterator[Frame]:
        """Give SAMPLES and EVENT frames until ``close``; raises as ``start`` does."""
        yield from self._frames(self._stall_timeout_s, "gave no samples for {s:g} s")

    def send(self, command: Mapping[str, object]) -> None:
        """Tell the driver something, such as ``{"tune": 446100000.0}``.

        Raises
        ------
        SourceError
            It is dead, or does not listen.
        """
        line = json.dumps(command).encode() + b"\n"
        with self._guard:
            if self._closed.is_set() or self._process is None or self._process.stdin is None:
                return
            try:
                written = os.write(self._process.stdin.fileno(), line)
            except BrokenPipeError:
                return  # its death is what reading tells, with the reason
            except BlockingIOError:
                written = 0
        if written < len(line):
            raise SourceError(f"{self.name}: driver does not take commands")

    def close(self) -> None:
        """End the process, politely at first; idempotent, from any thread, within a second."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            if self._bell_rope >= 0:
                os.write(self._bell_rope, b"!")
            with self._guard:
                self._end()
                self._drop_bell()

    # ── reading ───────────────────────────────────────────────────────────────────────────

    def _frames(self, patience_s: float, complaint: str) -> Iterator[Frame]:
        deadline_s = self._monotonic_s() + patience_s
        while not self._closed.is_set():
            for frame in self._whole_frames():
                if frame.kind is FrameKind.ERROR:
                    raise self._refusal(self._json_of(frame))
                if frame.kind is FrameKind.SAMPLES:
                    deadline_s = self._monotonic_s() + patience_s
                yield frame
                if self._closed.is_set():
                    return
            left_s = deadline_s - self._monotonic_s()
            if not self._read(max(0.0, left_s)) and left_s <= 0:
                raise self._killed(complaint.format(s=patience_s))

    def _whole_frames(self) -> Iterator[Frame]:
        try:
            yield from self._parser
        except FramingError as error:
            raise self._killed(f"driver's output is not what was agreed: {error}") from error

    def _json_of(self, frame: Frame) -> dict[str, Any]:
        try:
            return frame.json
        except FramingError as error:
            raise self._killed(f"driver's output is not what was agreed: {error}") from error

    def _read(self, timeout_s: float) -> bool:
        """Take what the process wrote, waiting for it if need be; whether there was anything."""
        with self._guard:
            if self._closed.is_set() or self._process is None:
                return False
            out, err = self._process.stdout, self._process.stderr
            assert out is not None
            assert err is not None
            watched = [out.fileno(), self._bell, *([] if err.closed else [err.fileno()])]
            ready = readable(watched, timeout_s)
            if not err.closed and err.fileno() in ready and not self._chatter.read(err.fileno()):
                err.close()
            if out.fileno() in ready:
                data = os.read(out.fileno(), READ_BYTES)
                if not data:
                    raise self._died()
                self._parser.feed(data)
                return True
            return False

    # ── its end ───────────────────────────────────────────────────────────────────────────

    def _popen(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                driver_command(self._module),
                env=driver_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise SourceError(f"{self.name}: cannot start its driver: {error}") from error
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        with contextlib.suppress(OSError):  # over the user's limit: the usual 64 KiB do, too
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return process

    def _refusal(self, said: Mapping[str, object]) -> SourceError:
        text = f"{self.name}: {said.get('message', 'driver gave up')}"
        return SourceDataError(text) if said.get("permanent") else SourceError(text)

    def _killed(self, why: str) -> SourceError:
        """End a process that cannot be used any more; the error that says so."""
        with self._guard:
            if not self._closed.is_set():
                self._end(polite_s=0.0)
        return SourceError(f"{self.name}: {why}; its driver was killed{self._chatter.told}")

    def _died(self) -> SourceError:
        """The error that says how the process died; under the guard."""
        assert self._process is not None
        code = self._reaped(POLITE_S)
        self._end(polite_s=0.0)
        if code is None:
            how = "closed its output"
        elif code < 0:
            how = f"was ended by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        return SourceError(f"{self.name}: driver {how}{self._chatter.told}")

    def _end(self, *, polite_s: float = POLITE_S) -> None:
        """Make the process end, and let go of it; under the guard."""
        process = self._process
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if self._reaped(polite_s) is None:
            process.kill()
            if self._reaped(DEATH_S) is None:  # inside the kernel: it dies when that lets go
                threading.Thread(target=process.wait, name="reaper", daemon=True).start()
        if process.stderr is not None and not process.stderr.closed:
            self._chatter.read(process.stderr.fileno())
            process.stderr.close()
        self._process = None

    def _drop_bell(self) -> None:
        if self._bell >= 0:
            os.close(self._bell)
            os.close(self._bell_rope)
            self._bell = self._bell_rope = -1

    def _reaped(self, timeout_s: float) -> int | None:
        """The exit code, as soon as there is one."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def driver_command(module: str, *arguments: str) -> list[str]:
    """How a driver is run: the working directory is not searched, whatever files are there."""
    return [sys.executable, "-P", "-m", module, *arguments]


def driver_environment() -> dict[str, str]:
    """Ours; and this package is found from wherever the daemon was started."""
    paths = [str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
