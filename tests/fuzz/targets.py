"""What is fuzzed: each module beside this one that has ``one_input``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent
OneInput = Callable[[bytes], None]


def target_names() -> list[str]:
    return sorted(
        path.stem for path in FOLDER.glob("*.py") if "\ndef one_input(" in path.read_text()
    )


def target(name: str) -> OneInput:
    """The function that takes arbitrary bytes and lets only documented errors pass."""
    return _module(name).one_input


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
