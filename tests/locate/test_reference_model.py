"""The reference model: its invariances, and its answers against brute force."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from heimdall_edge.locate.model import LocatorModel, reference_model_path
from tests.locate.drawn_scenes import C_KM_PER_US, Drawn, draw
from tests.locate.posterior_oracle import Constants, brute_force

TRAINING = Path(__file__).resolve().parents[2] / "training"


@pytest.fixture(scope="module")
def model() -> LocatorModel:
    return LocatorModel.load(reference_model_path())


@pytest.fixture(scope="module")
def constants() -> Constants:
    """What training/physics.py says, read from there."""
    spec = importlib.util.spec_from_file_location("physics", TRAINING / "physics.py")
    physics = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(physics)
    names = Constants.__dataclass_fields__
    return Constants(**{name: getattr(physics, name.upper()) for name in names})


def answer(model: LocatorModel, feeds: dict) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean [2] km, covariance [2, 2] km², ood."""
    out = model._run(feeds)
    a, c, b = out["chol"][0].astype(np.float64)
    factor = np.array([[np.exp(a), 0], [c, np.exp(b)]])
    return out["mean_enu"][0].astype(np.float64), factor @ factor.T, float(out["ood"][0, 0])


def drawn_scenes(n: int, seed: int) -> list[Drawn]:
    rng = np.random.default_rng(seed)
    return [
        draw(
            rng,
            int(rng.integers(4, 20)),
            scale_km=(0.5, 2.0, 20.0, 150.0)[i % 4],
            toa_sigma_us=(0.0, 0.3, 5.0)[i % 3],
            offset_sd_db=(0.0, 4.0, 8.0)[i % 3],
        )
        for i in range(n)
    ]


SCENES = drawn_scenes(36, seed=1)


def numbered(scene: Drawn) -> str:
    return (
        f"{len(scene.heard)}rx-{np.ptp(scene.enu_km):.0f}km-{'toa' if scene.toa_w.any() else 'rss'}"
    )


# ── against brute force ───────────────────────────────────────────────────────────────────


def assert_agrees(model, constants, scene: Drawn, *, tolerance_sd: float, tolerance_ratio: float):
    mean, covariance = brute_force(constants, scene)
    got_mean, got_covariance, _ = answer(model, scene.feeds())
    off_sd = np.sqrt((got_mean - mean) @ np.linalg.solve(covariance, got_mean - mean))
    ratio = np.sqrt(np.linalg.eigvals(np.linalg.solve(covariance, got_covariance)).real)
    assert off_sd < tolerance_sd
    assert np.abs(np.log(ratio)).max() < tolerance_ratio


@pytest.mark.parametrize("seed", range(6))
def test_levels_and_silence_agree_with_brute_force(model, constants, seed):
    rng = np.random.default_rng(100 + seed)
    scene = draw(rng, 4 + seed % 5, (2.0, 0.5, 40.0)[seed % 3], offset_sd_db=(0, 2, 8)[seed % 3])
    # What lies beyond the last window, 5.5 standard deviations away, is left out of the tails.
    assert_agrees(model, constants, scene, tolerance_sd=0.1, tolerance_ratio=0.25)


@pytest.mark.parametrize("seed", range(4))
def test_arrival_times_agree_with_brute_force(model, constants, seed):
    rng = np.random.default_rng(200 + seed)
    scene = draw(rng, 5 + seed, 20.0, toa_sigma_us=6.0, offset_sd_db=200.0)
    assert_agrees(model, constants, scene, tolerance_sd=0.15, tolerance_ratio=0.15)


# ── invariances of the contract, section 5 ────────────────────────────────────────────────


@pytest.mark.parametrize("scene", SCENES, ids=numbered)
def test_the_order_of_receivers_does_not_matter(model, scene):
    feeds = scene.feeds()
    order = np.random.default_rng(0).permutation(len(scene.heard))
    shuffled = {n: v if n == "freq" else v[:, order] for n, v in feeds.items()}
    assert np.abs(answer(model, shuffled)[0] - answer(model, feeds)[0]).max() < 1e-4


@pytest.mark.parametrize("scene", SCENES, ids=numbered)
def test_absent_receivers_change_nothing(model, scene):
    feeds = scene.feeds()
    padded = {
        n: v if n == "freq" else np.pad(v, [(0, 0), (2, 7)] + [(0, 0)] * (v.ndim - 2))
        for n, v in feeds.items()
    }
    padded["rx_enu"][:, -3:] = 1e4  # whatever an absent receiver's columns hold
    padded["rx_feat"][:, -3:] = 50.0
    padded["toa_w"][:, -3:] = 3.0
    for got, expected in zip(answer(model, padded), answer(model, feeds), strict=True):
        assert got == pytest.approx(expected, abs=1e-6, rel=1e-5)


@pytest.mark.parametrize("scene", SCENES, ids=numbered)
def test_moving_the_network_moves_the_mean_along(model, scene):
    feeds = scene.feeds()
    mean, covariance, _ = answer(model, feeds)
    shift = np.array([3.3, -1.7]) * np.ptp(scene.enu_km)
    moved = feeds | {"rx_enu": feeds["rx_enu"] + np.float32([*shift, 0.0])}
    off = answer(model, moved)[0] - shift - mean
    assert np.sqrt(off @ np.linalg.solve(covariance, off)) < 0.01


@pytest.mark.parametrize("scene", SCENES, ids=numbered)
def test_turning_the_network_turns_mean_and_covariance(model, scene):
    feeds = scene.feeds()
    mean, covariance, _ = answer(model, feeds)
    angle = 0.9
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    enu = feeds["rx_enu"].copy()
    enu[0, :, :2] = scene.enu_km @ turn.T
    got_mean, got_covariance, _ = answer(model, feeds | {"rx_enu": enu})
    off = turn.T @ got_mean - mean
    assert np.sqrt(off @ np.linalg.solve(covariance, off)) < 0.01
    assert np.linalg.solve(covariance, turn.T @ got_covariance @ turn) == pytest.approx(
        np.eye(2), abs=0.02
    )


def test_a_square_network_turns_too_although_it_has_no_principal_axis(model):
    scene = draw(np.random.default_rng(3), 4, 1.0)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=float)
    answers = []
    for angle in (0.0, 0.3, 0.7):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        feeds = scene.feeds()
        feeds["rx_enu"][0, :, :2] = corners @ turn.T
        mean, covariance, _ = answer(model, feeds)
        answers.append((turn.T @ mean, turn.T @ covariance @ turn))
    sd = np.sqrt(np.trace(answers[0][1]))
    for mean, covariance in answers[1:]:
        assert np.hypot(*(mean - answers[0][0])) < 0.03 * sd
        assert np.linalg.det(covariance) == pytest.approx(np.linalg.det(answers[0][1]), rel=0.1)


def test_leaving_a_receiver_out_widens_the_covariance_on_average(model):
    growth = []
    for scene in SCENES:
        feeds = scene.feeds()
        before = np.linalg.slogdet(answer(model, feeds)[1])[1]
        feeds["rx_state"][0, 0] = 0
        feeds["toa_w"][0, 0] = 0
        growth.append(np.linalg.slogdet(answer(model, feeds)[1])[1] - before)
    assert np.mean(growth) > 0.1


def test_scenes_of_a_batch_do_not_touch_each_other(model):
    alone = [s.feeds() for s in SCENES if len(s.heard) >= 6][:5]
    together = {
        n: np.concatenate([f[n][:, :6] if n != "freq" else f[n] for f in alone]) for n in alone[0]
    }
    means = model._run(together)["mean_enu"]
    for i, feeds in enumerate(alone):
        single = {n: v[:, :6] if n != "freq" else v for n, v in feeds.items()}
        assert means[i] == pytest.approx(answer(model, single)[0], rel=1e-4, abs=1e-4)


# ── bad receivers, bad numbers ────────────────────────────────────────────────────────────


def test_one_receiver_stuck_loud_hardly_moves_the_answer(model):
    rng = np.random.default_rng(7)
    errors: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(60):
        scene = draw(rng, 12, 2.0, offset_sd_db=2.0)
        for stuck in (False, True):
            feeds = scene.feeds()
            if stuck:
                feeds["rx_feat"][0, 0, 2] = scene.reading_db.max() + 40
                feeds["rx_state"][0, 0] = 1
            off = answer(model, feeds)[0] - scene.transmitter_km
            errors[stuck].append(float(np.hypot(*off)))
    assert np.median(errors[True]) < 1.3 * np.median(errors[False])


def test_one_grossly_late_arrival_is_not_believed(model):
    scene = draw(np.random.default_rng(8), 8, 50.0, toa_sigma_us=0.5, offset_sd_db=200.0)
    feeds = scene.feeds()
    feeds["toa_us"][0, 2] += 35.0
    mean, covariance, _ = answer(model, feeds)
    off = mean - scene.transmitter_km
    assert off @ np.linalg.solve(covariance, off) < 14
    assert np.hypot(*off) < 1.0


@pytest.mark.parametrize(("sigma_us", "scale_km"), [(0.02, 15.0), (1.0, 150.0), (50.0, 150.0)])
def test_arrival_times_are_found_however_precise(model, sigma_us, scale_km):
    """From 6 m of 30 km to 15 km of 300 km: the windows close on the peak, not beside it."""
    nees, width = judge_arrivals(model, sigma_us, scale_km)
    assert 0.4 < np.median(nees) < 4
    assert 0.8 < np.median(width) < 1.3


def test_times_too_precise_for_the_windows_make_no_false_claim(model):
    nees, width = judge_arrivals(model, 0.005, 1000.0)
    assert np.max(nees) < 14
    assert np.median(width) > 1


def judge_arrivals(model, sigma_us: float, scale_km: float) -> tuple[list[float], list[float]]:
    """NEES, and standard deviation over the bound's, of twenty scenes."""
    rng = np.random.default_rng(9)
    nees, width = [], []
    for _ in range(20):
        scene = draw(rng, 9, scale_km, toa_sigma_us=sigma_us, offset_sd_db=200.0)
        mean, covariance, _ = answer(model, scene.feeds())
        off = mean - scene.transmitter_km
        nees.append(off @ np.linalg.solve(covariance, off))
        width.append(np.sqrt(np.trace(covariance) / np.trace(bound_km2(scene))))
    return nees, width


def bound_km2(scene: Drawn) -> np.ndarray:
    """Cramér–Rao bound of the place from arrival times with an unknown zero."""
    off = scene.transmitter_km - scene.enu_km
    slope = np.column_stack([off / np.hypot(*off.T)[:, None] / C_KM_PER_US, np.ones(len(off))])
    return np.linalg.inv((slope * scene.toa_w[:, None] ** 2).T @ slope)[:2, :2]


@pytest.mark.parametrize("n", [1, 2, 3, 32, 64])
def test_any_number_of_receivers_gets_a_finite_answer(model, n):
    rng = np.random.default_rng(n)
    enu = np.zeros((1, n, 3), np.float32)
    enu[0, :, :2] = rng.normal(size=(n, 2))
    feeds = {
        "rx_enu": enu,
        "rx_feat": np.full((1, n, 10), 8.0, np.float32),
        "rx_state": np.ones((1, n), np.float32),
        "freq": np.ones((1, 1), np.float32),
        "toa_us": np.zeros((1, n), np.float32),
        "toa_w": np.zeros((1, n), np.float32),
    }
    mean, covariance, ood = answer(model, feeds)
    assert np.isfinite(mean).all()
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert 0 <= ood <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rx_feat", 300.0),
        ("rx_feat", -300.0),
        ("rx_enu", 0.0),
        ("rx_enu", 1e4),
        ("toa_us", 1e8),
        ("toa_w", 1e6),
        ("rx_state", 2.0),
    ],
)
def test_extreme_inputs_never_give_nan(model, name, value):
    for scene in SCENES[:6]:
        feeds = scene.feeds()
        feeds[name][:] = value
        answer(model, feeds)  # raises where an output is not finite
        feeds = scene.feeds()
        feeds[name][:, 0] = value
        answer(model, feeds)


def test_out_of_domain_says_how_likely_it_is_far_outside_the_network(model):
    scene = draw(np.random.default_rng(11), 12, 20.0, toa_sigma_us=0.3, offset_sd_db=200.0)
    radius_km = 1.5 * np.sqrt((scene.enu_km.std(axis=0) ** 2).sum())
    ood = {}
    for radii in (0.2, 2.0, 4.5):
        transmitter = scene.enu_km.mean(axis=0) + np.array([radii * radius_km, 0.0])
        feeds = scene.feeds()
        feeds["toa_us"][0] = np.hypot(*(scene.enu_km - transmitter).T) / C_KM_PER_US
        ood[radii] = answer(model, feeds)[2]
    assert ood[0.2] < 0.01
    assert ood[2.0] < 0.3
    assert ood[4.5] > 0.7


# ── the file ──────────────────────────────────────────────────────────────────────────────


def test_the_script_writes_the_same_bytes_again(tmp_path):
    pytest.importorskip("onnx")
    out = tmp_path / "again.onnx"
    subprocess.run(
        [sys.executable, TRAINING / "reference_model.py", "--out", out], check=True, timeout=100
    )
    assert out.read_bytes() == reference_model_path().read_bytes()


def test_twenty_five_receivers_take_milliseconds(model):
    """A loose guard against a slip; the benchmark prints the real figure."""
    feeds = draw(np.random.default_rng(12), 25, 2.0).feeds()
    took_s = []
    for _ in range(20):
        begun_s = time.process_time()
        answer(model, feeds)
        took_s.append(time.process_time() - begun_s)
    assert min(took_s) < 0.03
