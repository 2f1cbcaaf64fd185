"""How many samples a live receiver's block holds."""

import pytest

from heimdall_edge.sources.block_size import block_samples


@pytest.mark.parametrize(
    ("rate_hz", "n_samples"),
    [(3.2e6, 65_536), (1e6, 65_536), (999_999, 50_000), (250e3, 12_500), (12e3, 600), (1, 1)],
)
def test_a_block_lasts_some_ten_milliseconds(rate_hz, n_samples):
    assert block_samples(rate_hz) == n_samples
