"""Every wire parser under coverage-guided fuzzing: ``make fuzz``, or ``python -m tests.fuzz``.

Each target runs in a process of its own, so that a crash or a hang is that target's alone. Growth
is measured in another one, without the fuzzer: what atheris puts into the code to trace comparisons
grows by itself (some 460 bytes a call where they are NumPy's).

A line ``FAILED`` is followed by what the target said; the input that did it lies in the folder
that ``--artifacts`` names.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .targets import target, target_names

SLOWEST_INPUT_S = 5
LONGEST_INPUT_BYTES = 4096
INPUT_BYTES = (3, 20, 200, LONGEST_INPUT_BYTES)
LEAST_CALLS = 20_000
MOST_GROWTH_MB = 8
MOST_RESIDENT_MB = 1024


class Outcome(NamedTuple):
    name: str
    executions: int
    wall_s: float
    growth_mb: float
    said: str
    """Empty where nothing went wrong."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--executions", type=int, default=1_000_000, help="of each target")
    parser.add_argument("--artifacts", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--grow", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz_here(options.targets[0], options.executions, options.artifacts)
        return 0
    if options.grow:
        print(growth_mb(options.targets[0], options.executions))
        return 0
    options.artifacts.mkdir(parents=True, exist_ok=True)
    print(f"{'target':<24}{'executions':>12}{'a second':>10}{'growth':>10}  result")
    outcomes = [
        fuzz(name, options.executions, options.artifacts)
        for name in options.targets or target_names()
    ]
    return int(any(outcome.said for outcome in outcomes))


def fuzz(name: str, executions: int, artifacts: Path) -> Outcome:
    """Run one target in a process of its own, and print its row."""
    began_s = time.monotonic()
    run = _run("--one", name, executions, artifacts)
    wall_s = time.monotonic() - began_s
    said = "" if run.returncode == 0 else run.stderr[-4000:] or f"exit status {run.returncode}"
    grown = _run("--grow", name, max(LEAST_CALLS, executions // 10), artifacts)
    growth_mb = float(grown.stdout) if grown.returncode == 0 else 0.0
    said = said or grown.stderr[-4000:]
    if not said and growth_mb > MOST_GROWTH_MB:
        said = f"grew by {growth_mb:.0f} MB; expected at most {MOST_GROWTH_MB}"
    outcome = Outcome(name, executions, wall_s, growth_mb, said)
    result = "FAILED" if said else "good"
    print(f"{name:<24}{executions:>12,}{executions / wall_s:>10,.0f}{growth_mb:>7.1f} MB  {result}")
    if said:
        print(said)
    sys.stdout.flush()
    return outcome


def fuzz_here(name: str, executions: int, artifacts: Path) -> None:
    """Fuzz in this process; ends it."""
    import atheris

    with atheris.instrument_imports(include=["heimdall_edge"]):
        one_input = target(name)
    atheris.Setup(
        [
            "fuzz",
            f"-atheris_runs={executions}",
            f"-max_len={LONGEST_INPUT_BYTES}",
            f"-timeout={SLOWEST_INPUT_S}",
            f"-rss_limit_mb={MOST_RESIDENT_MB}",
            f"-artifact_prefix={artifacts}/{name}-",
        ],
        one_input,
    )
    atheris.Fuzz()


def growth_mb(name: str, calls: int) -> float:
    """By how much this process grows over so many calls, after a tenth of them."""
    one_input, chance = target(name), random.Random(0)
    settled_mb = 0.0
    for number in range(calls):
        if number == calls // 10:
            settled_mb = _resident_mb()
        head = bytes([chance.randrange(8)])
        one_input(head + chance.randbytes(chance.choice(INPUT_BYTES)))
    return _resident_mb() - settled_mb


def _run(
    what: str, name: str, executions: int, artifacts: Path
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", what, name]
    command += ["--executions", str(executions), "--artifacts", str(artifacts)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit(main())
