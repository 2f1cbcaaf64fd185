"""The contract's tables of inputs and outputs, and the scene of the self-test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from heimdall_edge.errors import ModelError
from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.manifest import parse_manifest
from heimdall_edge.locate.signature import INPUT_AXES, check_signature, self_test_feeds
from tests.locate.drawn_scenes import triangle
from tests.locate.test_manifest import metadata


@dataclass(frozen=True)
class Value:
    name: str
    shape: tuple
    type: str = "tensor(float)"


GOOD_INPUTS = [Value("rx_enu", ("B", "R", 3)), Value("rx_state", ("B", "R"))]
GOOD_OUTPUTS = [Value("mean_enu", ("B", 2)), Value("chol", ("B", 3))]
MANIFEST = parse_manifest(metadata())


def test_what_the_runtime_builds_is_what_the_contract_names():
    built = locator_inputs(triangle(), mel_shape=(64, 32)).feeds
    tried = self_test_feeds(n_absent=2, n_scenes=2, mel_shape=(64, 32))
    assert built.keys() == tried.keys() == INPUT_AXES.keys()
    for name, axes in INPUT_AXES.items():
        assert built[name].ndim == tried[name].ndim == len(axes)


def test_unnamed_axes_are_dynamic_too():
    check_signature([Value("rx_enu", (None, None, 3)), GOOD_INPUTS[1]], GOOD_OUTPUTS, MANIFEST)


def test_a_mixture_may_have_a_fixed_number_of_parts():
    mixture = [
        Value("weights", ("B", 4)),
        Value("means", ("B", 4, 2)),
        Value("chols", ("B", 4, 3)),
        Value("ood", ("B", 1)),
    ]
    check_signature(GOOD_INPUTS, GOOD_OUTPUTS + mixture, MANIFEST)


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ([GOOD_OUTPUTS[0], Value("chol", ("B", 4))], r"output chol has shape \[dynamic, 4\]"),
        ([GOOD_OUTPUTS[0], Value("chol", (1, 3))], r"output chol has shape \[1, 3\]"),
        ([*GOOD_OUTPUTS, Value("ood", ("B", 1), "tensor(int64)")], "ood is tensor.int64."),
        ([GOOD_OUTPUTS[1]], "output mean_enu is missing: the model has chol"),
    ],
)
def test_outputs_of_another_shape_or_type_are_named(outputs, complaint):
    with pytest.raises(ModelError, match=complaint):
        check_signature(GOOD_INPUTS, outputs, MANIFEST)


def test_a_fixed_mel_must_be_the_manifest_s():
    mel = Value("mel", ("B", "R", 64, 31))
    with pytest.raises(ModelError, match="n_mels 64, n_frames 32"):
        check_signature([*GOOD_INPUTS, mel], GOOD_OUTPUTS, MANIFEST)


def test_the_self_test_s_absent_receivers_say_nothing():
    feeds = self_test_feeds(n_absent=3, n_scenes=2, mel_shape=None)
    assert (feeds["rx_state"][:, -3:] == 0).all()
    assert not feeds["rx_feat"][:, -3:].any()
    assert np.count_nonzero(feeds["rx_state"][0] == 1) == 5
