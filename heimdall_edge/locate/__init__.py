"""From observations to a position: pure but for model files."""
