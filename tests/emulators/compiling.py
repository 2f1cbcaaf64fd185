"""Emulators in C and C++: compiled at their first use, and kept by their content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def shared_library(name: str, sources: Sequence[Path], command: Sequence[str]) -> Path:
    """The library that a compiler makes of its sources, in a folder that holds nothing else.

    Parameters
    ----------
    name
        Of the library's file, without ending.
    sources
        Headers among them: any change makes a new library.
    command
        Compiler, flags, sources and libraries; where the output goes is added.
    """
    content = b"".join(path.read_bytes() for path in sources) + " ".join(command).encode()
    digest = hashlib.sha256(content).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"heimdall-edge-emulators-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}-{digest}" / f"lib{name}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        unfinished = library.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(unfinished)], check=True)
        unfinished.rename(library)  # tests that run side by side see all of it, or nothing
    return library
