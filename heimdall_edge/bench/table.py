"""A table of figures as text, and the machine that they hold for."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, all of them text; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def in_words(self, machine: str) -> str:
        """The table with its machine on top, as lines of text."""
        lines = [self.columns, *self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        body = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
        rule = "─" * max(len(line) for line in body)
        return "\n".join((self.title, machine, rule, body[0], rule, *body[1:], rule, *self.notes))


def _aligned(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *others = zip(cells, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def machine_in_words() -> str:
    """Processor, cores, and the versions that decide on speed."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "onnxruntime"))
    return (
        f"{cpu_model()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()} ({sys.platform}), {packages}"
    )


def cpu_model() -> str:
    """The processor's name, as the kernel has it; its architecture where it has none."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    for wanted in ("model name", "Model"):  # "Model" is that of a single-board computer
        for line in lines:
            if line.startswith(wanted) and ":" in line:
                return line.partition(":")[2].strip()
    return platform.machine()
