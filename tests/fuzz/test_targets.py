"""Each wire parser against arbitrary bytes: the short run; ``make fuzz`` is the long one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .targets import target, target_names


def test_there_is_something_to_fuzz():
    assert target_names()


@pytest.mark.parametrize("name", target_names())
def test_a_parser_takes_any_bytes_or_refuses_them_by_a_documented_error(name):
    one_input = target(name)

    @settings(max_examples=300, deadline=2000, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=4096))
    def feed(data: bytes) -> None:
        one_input(data)

    feed()
