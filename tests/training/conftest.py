"""Training code is no package: its scripts find each other by their folder, and so do tests."""

from __future__ import annotations

import sys
from pathlib import Path

TRAINING = Path(__file__).resolve().parents[2] / "training"

sys.path[:0] = [str(TRAINING), str(TRAINING / "evaluation")]
