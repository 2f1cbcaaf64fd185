"""Loading a model: what is refused and why; asking it; the covariance it gives."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heimdall_edge.errors import ModelError
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.locate import model as model_module
from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.model import LocatorModel, describe_model, reference_model_path
from heimdall_edge.types import ArrivalTime
from tests.locate.drawn_scenes import C_KM_PER_US, observation, scene, triangle
from tests.locate.test_manifest import CALIBRATION, MEL, metadata

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

SCENE_SHAPES = {"rx_enu": ["B", "R", 3], "rx_state": ["B", "R"]}


def write_model(
    path: Path,
    *,
    inputs: dict[str, list] | None = None,
    outputs: dict[str, list] | None = None,
    mean: tuple[float, ...] = (1.0, 2.0),
    chol: tuple[float, ...] = (0.0, 0.5, 0.0),
    kind: int = TensorProto.FLOAT,
    props: dict[str, str] | None = None,
    tail: list | None = None,
) -> Path:
    """A model that answers the same for every scene."""
    inputs = SCENE_SHAPES if inputs is None else inputs
    outputs = {"mean_enu": ["B", 2], "chol": ["B", 3]} if outputs is None else outputs
    constants = {"mean": np.array([mean]), "chol_row": np.array([chol])}
    nodes = [
        helper.make_node("Shape", ["rx_state"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["mean", "shape"], ["mean_enu"]),
        helper.make_node("Expand", ["chol_row", "shape"], ["chol"]),
    ]
    graph = helper.make_graph(
        nodes + (tail or []),
        "constant",
        [
            helper.make_tensor_value_info(name, kind if name == "rx_enu" else 1, shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
        + [onnx.numpy_helper.from_array(np.array([1], dtype=np.int64), "one")],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(built, metadata() if props is None else props)
    path.write_bytes(built.SerializeToString())
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.onnx"


def test_the_built_in_model_loads_and_knows_itself():
    model = LocatorModel.load(reference_model_path())
    content = reference_model_path().read_bytes()
    assert model.identity.name == "reference"
    assert model.identity.sha256 == hashlib.sha256(content).hexdigest()
    assert model.mel_shape is None
    assert "reference" in describe_model(model)


def test_onnxruntime_is_told_to_send_nothing_home():
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_a_pinned_hash_must_be_the_file_s(path):
    write_model(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert LocatorModel.load(path, sha256=digest.upper()).identity.sha256 == digest
    with pytest.raises(ModelError, match=f"SHA-256 is {digest}: expected {'0' * 64}"):
        LocatorModel.load(path, sha256="0" * 64)


def test_the_answer_is_scaled_by_the_calibration_record(path):
    props = metadata(calibration=CALIBRATION | {"cov_scale": 4.0})
    model = LocatorModel.load(write_model(path, props=props))
    estimate = model.infer(locator_inputs(triangle()))
    assert estimate.mean_enu_km.tolist() == [1.0, 2.0]
    assert estimate.covariance_km2 == pytest.approx(4 * np.array([[1, 0.5], [0.5, 1.25]]))
    assert estimate.ood is None
    assert not estimate.covariance_km2.flags.writeable
    assert "0.690 of 0.68" in describe_model(model)


def test_a_coverage_that_nobody_measured_is_said_to_be_so(path):
    props = metadata(calibration={"cov_scale": 1.0, "n": 0})
    assert "not measured" in describe_model(LocatorModel.load(write_model(path, props=props)))


def test_a_model_that_answers_for_one_scene_only_is_refused(path):
    write_model(path)
    built = onnx.load(path)
    built.graph.node[0].CopyFrom(helper.make_node("Identity", ["one"], ["n"]))
    built.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "one"
    path.write_bytes(built.SerializeToString())
    with pytest.raises(
        ModelError, match=r"output mean_enu has shape \[1, 2\]: expected \[dynamic, 2\]"
    ):
        LocatorModel.load(path)


def test_a_file_that_is_absent_or_too_big_is_refused(path, monkeypatch):
    with pytest.raises(ModelError, match=r"No such file.*expected an ONNX file"):
        LocatorModel.load(path)
    write_model(path)
    monkeypatch.setattr(model_module, "MAX_FILE_BYTES", 10)
    with pytest.raises(ModelError, match="expected an ONNX file of 10 at most"):
        LocatorModel.load(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" * 40])
def test_a_file_that_is_no_model_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model.onnx: "):
        LocatorModel.load(path)


def test_a_truncated_model_is_refused(path):
    content = reference_model_path().read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        LocatorModel.load(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"props": {}}, "no manifest"),
        ({"props": metadata(schema="locator/9")}, "heimdall.schema is 'locator/9'"),
        ({"inputs": SCENE_SHAPES | {"latitude": ["B", 1]}}, "input latitude is unknown"),
        ({"inputs": {"rx_state": ["B", "R"]}}, "input rx_enu is missing"),
        ({"inputs": SCENE_SHAPES | {"rx_enu": ["B", "R", 2]}}, "input rx_enu has shape .*, 2]"),
        ({"inputs": SCENE_SHAPES | {"rx_enu": ["B", "R"]}}, "input rx_enu has shape"),
        ({"inputs": SCENE_SHAPES | {"rx_state": ["B", 10]}}, "input rx_state has shape .*, 10]"),
        ({"inputs": SCENE_SHAPES | {"freq": [1, 1]}}, "input freq has shape"),
        ({"kind": TensorProto.DOUBLE}, r"input rx_enu is tensor\(double\)"),
        ({"outputs": {"mean_enu": ["B", 2]}}, "output chol is missing"),
        ({"mean": (math.nan, 0.0)}, "output mean_enu holds NaN"),
        ({"chol": (math.inf, 0.0, 0.0)}, "output chol holds NaN or infinity"),
        ({"chol": (80.0, 0.0, 0.0)}, "expected logs of kilometres"),
        ({"chol": (-30.0, 1e6, -30.0)}, "no positive definite covariance"),
        ({"mean": (1.0, 2.0, 3.0), "outputs": {"mean_enu": ["B", "K"], "chol": ["B", 3]}}, "shape"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused(path, changes, complaint):
    write_model(path, **changes)
    with pytest.raises(ModelError, match=complaint):
        LocatorModel.load(path)


def test_an_output_that_the_contract_does_not_know_is_refused(path):
    tail = [helper.make_node("Identity", ["mean_enu"], ["confidence"])]
    outputs = {"mean_enu": ["B", 2], "chol": ["B", 3], "confidence": ["B", 2]}
    with pytest.raises(ModelError, match="output confidence is unknown"):
        LocatorModel.load(write_model(path, outputs=outputs, tail=tail))


def test_a_model_that_absent_receivers_move_is_refused(path):
    """Its mean is the number of receivers."""
    content = helper.make_graph(
        [
            helper.make_node("Shape", ["rx_state"], ["n"], start=1, end=2),
            helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Shape", ["rx_state"], ["b"], start=0, end=1),
            helper.make_node("Concat", ["b", "two"], ["m"], axis=0),
            helper.make_node("Concat", ["b", "three"], ["c"], axis=0),
            helper.make_node("Expand", ["f", "m"], ["mean_enu"]),
            helper.make_node("Expand", ["zero", "c"], ["chol"]),
        ],
        "counts",
        [helper.make_tensor_value_info(n, 1, s) for n, s in SCENE_SHAPES.items()],
        [
            helper.make_tensor_value_info("mean_enu", 1, ["B", 2]),
            helper.make_tensor_value_info("chol", 1, ["B", 3]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([2]), "two"),
            onnx.numpy_helper.from_array(np.array([3]), "three"),
            onnx.numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"),
        ],
    )
    built = helper.make_model(content, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(built, metadata())
    path.write_bytes(built.SerializeToString())
    with pytest.raises(ModelError, match="absent receivers moved the mean by 3 km"):
        LocatorModel.load(path)


def test_mel_needs_parameters_that_fit_its_shape(path):
    with_mel = SCENE_SHAPES | {"mel": ["B", "R", 64, 32]}
    model = LocatorModel.load(write_model(path, inputs=with_mel))
    assert model.mel_shape == (64, 32)
    with pytest.raises(ModelError, match=r"heimdall\.mel is missing"):
        LocatorModel.load(write_model(path, inputs=with_mel, props=metadata(mel=None)))
    with pytest.raises(ModelError, match="n_mels 32, n_frames 32"):
        LocatorModel.load(
            write_model(path, inputs=with_mel, props=metadata(mel=MEL | {"n_mels": 32}))
        )


def test_a_model_that_wants_what_the_scene_lacks_says_so(path):
    with_mel = SCENE_SHAPES | {"mel": ["B", "R", 64, 32]}
    model = LocatorModel.load(write_model(path, inputs=with_mel))
    with pytest.raises(ModelError, match="wants mel"):
        model.infer(locator_inputs(triangle()))
    assert model.infer(locator_inputs(triangle(), mel_shape=model.mel_shape))


def test_what_onnxruntime_raises_becomes_a_model_error(path):
    model = LocatorModel.load(write_model(path))
    inputs = locator_inputs(triangle())
    broken = replace(inputs, feeds={**inputs.feeds, "rx_state": np.zeros((1, 1, 1), np.float32)})
    with pytest.raises(ModelError, match="onnxruntime: "):
        model.infer(broken)


def test_weights_outside_the_file_are_refused(path):
    write_model(path)
    built = onnx.load(path)
    weight = next(i for i in built.graph.initializer if i.name == "mean")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    np.ones(2, np.float32).tofile(path.with_name("weights.bin"))
    path.write_bytes(built.SerializeToString())
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        LocatorModel.load(path)


def test_an_operator_of_somebody_s_own_is_refused(path):
    tail = [helper.make_node("Evil", ["mean_enu"], ["ood"], domain="evil")]
    outputs = {"mean_enu": ["B", 2], "chol": ["B", 3], "ood": ["B", 1]}
    write_model(path, outputs=outputs, tail=tail)
    built = onnx.load(path)
    built.opset_import.add(domain="evil", version=1)
    path.write_bytes(built.SerializeToString())
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        LocatorModel.load(path)


def test_a_wide_network_s_second_look_takes_the_earth_s_curvature_out():
    """Exact geodesic times over 1,300 km, far from the middle, where a plane errs."""
    places = ((53.67, 7.28), (45.78, 0.61), (47.17, 8.43), (52.2, 16.4), (44.4, 11.3))
    mast = (54.5, 14.0)
    arrivals = tuple(
        ArrivalTime(float(distance_m(*mast, *p)) / 1e3 / C_KM_PER_US, 1.0) for p in places
    )
    observations = (observation(f"k{i}", at=p, level_dbfs=None) for i, p in enumerate(places))
    inputs = locator_inputs(scene(*observations, arrivals=arrivals))
    model = LocatorModel.load(reference_model_path())
    truth_km = np.array(LocalFrame(inputs.origin).to_enu_m(*mast)) / 1e3
    once, twice = model._ask(inputs), model.infer(inputs)
    assert inputs.method == "tdoa"
    assert np.hypot(*(once.mean_enu_km - truth_km)) > 0.2
    assert np.hypot(*(twice.mean_enu_km - truth_km)) < 0.03


def test_the_package_holds_the_reference_model():
    assert reference_model_path().stat().st_size < 200_000
    assert importlib.util.find_spec("heimdall_edge") is not None
