"""Judge the reference model, or another: real recordings, and simulation against the bound.

    python training/evaluation/run.py [--model FILE] [--scenes N] [--out DIR] [--data DIR]

Three steps that know nothing of each other but their files: samples → observations (powder.py),
observations → fixes (``heimdall-edge replay``), fixes and truth → table (scoring.py). Then three
KiwiSDR recordings of DCF77 (kiwi.py), random scenes against the Cramér–Rao bound (simulation.py),
and random networks from simulated IQ through the whole path (end_to_end.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(REPOSITORY), str(HERE.parent)]

import end_to_end  # noqa: E402  after the path is set
import kiwi  # noqa: E402
import powder  # noqa: E402
import scoring  # noqa: E402
import simulation  # noqa: E402

from heimdall_edge.locate.model import LocatorModel, reference_model_path  # noqa: E402


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data_dir = os.environ.get("HEIMDALL_EDGE_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data_dir))
    parser.add_argument("--model", type=Path, default=reference_model_path())
    parser.add_argument("--scenes", type=int, default=3200, help="random scenes of each family")
    parser.add_argument("--networks", type=int, default=120, help="networks from simulated IQ")
    parser.add_argument("--out", type=Path, help="keeps observations, truth and fixes there")
    options = parser.parse_args()
    model = LocatorModel.load(options.model)
    identity = model.identity
    print(f"model {identity.name} {identity.version}, sha256 {identity.sha256[:16]}…\n")
    with tempfile.TemporaryDirectory() as scratch:
        judge_powder(options.data, options.out or Path(scratch), options.model)
        kiwi.print_table(options.data, options.out or Path(scratch))
    print(f"\nRandom scenes against the Cramér–Rao bound, seed {simulation.SEED}")
    simulation.print_table(model, options.scenes)
    print(f"\nRandom networks from simulated IQ through the whole path, seed {end_to_end.SEED}")
    end_to_end.print_table(model, options.networks)


def judge_powder(data_dir: Path, out_dir: Path, model: Path) -> None:
    """Convert, replay, score."""
    if not (data_dir / "powder_rss").is_dir():
        print(f"POWDER recordings not found at {data_dir}: set HEIMDALL_EDGE_DATA")
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    observations, truth = powder.write_campaigns(data_dir, out_dir)
    fixes = out_dir / "powder.fixes.jsonl"
    replay(observations, fixes, model)
    print(
        "POWDER, 462.7 MHz handhelds, receivers not calibrated; heard from "
        f"{powder.OPEN_DB:g} dB over the {powder.FLOOR_PERCENTILE:g} % level of each receiver"
    )
    scoring.print_table(scoring.score(scoring.read_lines(fixes), scoring.read_lines(truth)))


def replay(observations: Path, fixes: Path, model: Path) -> None:
    """Send the observations through the daemon's own path."""
    arguments = ["replay", "--observations", str(observations), "--out", str(fixes)]
    config = observations.with_suffix(".toml")
    config.write_text(f'[station]\nname = "powder"\n[locator]\nmodel_path = "{model}"\n')
    arguments += ["--config", str(config)]
    command = [sys.executable, "-m", "heimdall_edge.cli", *arguments]
    subprocess.run(command, check=True, cwd=REPOSITORY)


if __name__ == "__main__":
    main()
