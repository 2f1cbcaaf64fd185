"""Tables as text, and the machine in words."""

from __future__ import annotations

import os
import platform

import numpy as np
import onnxruntime
import pytest

from heimdall_edge.bench import table
from heimdall_edge.bench.table import Table, cpu_model, machine_in_words


def test_names_are_aligned_left_and_figures_right():
    words = Table(
        title="Speed",
        columns=("what", "seconds"),
        rows=[("long name", "1.0"), ("b", "12.25")],
        notes=("target: 1",),
    ).in_words("this machine")
    assert words.splitlines() == [
        "Speed",
        "this machine",
        "──────────────────",
        "what       seconds",
        "──────────────────",
        "long name      1.0",
        "b            12.25",
        "──────────────────",
        "target: 1",
    ]


def test_a_row_that_lacks_a_cell_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        Table(title="", columns=("a", "b"), rows=[("1",)]).in_words("")


def test_the_machine_is_said_with_what_decides_on_speed():
    words = machine_in_words()
    assert words.startswith(cpu_model())
    for part in (
        f"{os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        f"numpy {np.__version__}",
        f"onnxruntime {onnxruntime.__version__}",
    ):
        assert part in words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        ("processor\t: 0\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
        ("processor\t: 0\n", platform.machine()),
    ],
)
def test_the_processor_is_named_as_the_kernel_names_it(monkeypatch, tmp_path, text, expected):
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(text)
    monkeypatch.setattr(table, "CPU_INFO", cpu_info)
    assert cpu_model() == expected


def test_without_the_kernels_word_the_architecture_must_do(monkeypatch, tmp_path):
    monkeypatch.setattr(table, "CPU_INFO", tmp_path / "none")
    assert cpu_model() == platform.machine()
