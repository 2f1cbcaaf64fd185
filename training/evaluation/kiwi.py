"""Three KiwiSDR recordings of DCF77 through ``heimdall-edge replay``, against the mast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scoring import CHI2_95

from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.types import Place

MAST = (50.0155, 9.0108)
REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config" / "examples" / "kiwi-dcf77.toml"


def print_table(data_dir: Path, out_dir: Path) -> None:
    """One line a fix: its distance from the mast, its ellipse, and whether that holds the mast."""
    if not (data_dir / "kiwi_dcf77").is_dir():
        print(f"\nKiwiSDR recordings not found at {data_dir}: set HEIMDALL_EDGE_DATA")
        return
    fixes = out_dir / "kiwi.fixes.jsonl"
    command = [sys.executable, "-m", "heimdall_edge.cli", "replay", "--config", str(CONFIG)]
    subprocess.run(
        [*command, "--out", str(fixes)],
        check=True,
        env={**os.environ, "HEIMDALL_EDGE_DATA": str(data_dir)},
    )
    print("\nDCF77, three KiwiSDRs, 2017-11-27, by time of arrival")
    print(f"{'window':<28}{'method':<8}{'error km':>9}{'95 % ellipse km':>18}{'holds':>7}")
    for fix in map(json.loads, fixes.read_text().splitlines()):
        print(_row(fix))


def _row(fix: dict) -> str:
    if fix["position"] is None:
        return f"{fix['timestamp']:<28}refused: {fix['reason']}"
    place = Place(fix["position"]["latitude"], fix["position"]["longitude"])
    off_m = np.array(LocalFrame(place).to_enu_m(*MAST))
    ee, en, nn = fix["covariance_enu_m2"]
    nees = off_m @ np.linalg.solve([[ee, en], [en, nn]], off_m)
    ellipse = fix["ellipse"]
    size = f"{ellipse['semi_major_m'] / 1e3:.1f} x {ellipse['semi_minor_m'] / 1e3:.1f}"
    holds = "yes" if nees <= CHI2_95 else "no"
    error_km = np.hypot(*off_m) / 1e3
    return f"{fix['timestamp']:<28}{fix['method']:<8}{error_km:>9.1f}{size:>18}{holds:>7}"
