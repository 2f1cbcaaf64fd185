"""Random networks from simulated IQ through the whole daemon path, against the bound.

Each scene is a configuration: simulated receivers in a square, one transmitter among them, IQ by
the physics of physics.py (propagation, noise, cu8, clock errors), then front end, detector,
arrival times, associator, locator. Only the truth file's content is known here and not there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import physics
from bound import arrival_information, level_information
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError
from scoring import CHI2_68, CHI2_95
from simulate_scenes import shadowing_db

from heimdall_edge.config import Channel, Config, Station
from heimdall_edge.config_receivers import Clock, Receiver
from heimdall_edge.config_simulation import (
    Propagation,
    SimulatedReceiver,
    Simulation,
    Transmitter,
)
from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.locate.model import LocatorModel
from heimdall_edge.metrics import Metrics
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.sources.propagation import free_space_loss_db
from heimdall_edge.types import Fix, Observation, Place

Array = NDArray[np.float64]

SEED = 20_260_131
START_UTC_NS = 1_790_000_000_000_000_000
MIDDLE = Place(46.0, 9.0)
FREQUENCY_HZ = 446.00625e6
CENTER_HZ = 446.04e6
RATE_HZ = 100e3
GAIN_DB, FULL_SCALE_DBM = 40.0, -35.0
OPEN_DB = 8.0
OFFSET_SD_DB = 2.0
CLOCK_SIGMA_S = 2e-7
SCENE_TIMEOUT_S = 120.0


@dataclass
class KeepsFixes:
    """A publisher that keeps fixes, and drops the rest."""

    fixes: list[Fix] = field(default_factory=list)
    progress_monotonic_s: float = math.inf

    def publish_fix(self, fix: Fix) -> None:
        self.fixes.append(fix)

    def publish_observation(self, _observation: Observation) -> None: ...

    def publish_receiver(self, _status: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Network:
    """Receivers and a transmitter; km east and north of MIDDLE."""

    receivers: Array
    transmitter: Array
    exponent: float
    config: Config

    @property
    def span_km(self) -> float:
        offsets = self.receivers[:, None] - self.receivers
        return float(np.hypot(*offsets.transpose(2, 0, 1)).max())

    @property
    def is_inside(self) -> bool:
        try:
            return bool(Delaunay(self.receivers).find_simplex(self.transmitter) >= 0)
        except QhullError:
            return False


def draw_network(rng: np.random.Generator, *, share_clock: bool) -> Network:
    """Six to ten receivers in a square of 2 to 8 km, and the configuration that makes them."""
    half_km = math.exp(rng.uniform(*np.log([1.0, 4.0])))
    points = rng.uniform(-half_km, half_km, (int(rng.integers(6, 11)) + 1, 2))
    exponent = float(np.clip(rng.normal(physics.EXPONENT_MEAN, 0.4), 2.6, 4.0))
    latitude, longitude = LocalFrame(MIDDLE).from_enu_m(1e3 * points[:, 0], 1e3 * points[:, 1])
    # The power is drawn so that the farther receivers are near their limit, as in life.
    edge_loss_db = free_space_loss_db(FREQUENCY_HZ) + 10 * exponent * math.log10(2e3 * half_km)
    power_dbm = float(edge_loss_db - 118.0 + rng.uniform(-6.0, 12.0))
    clock = Clock(source="gnss", sigma_s=CLOCK_SIGMA_S) if share_clock else Clock()
    receivers = tuple(
        Receiver(
            id=f"r{i:02d}",
            kind="simulated",
            latitude_deg=float(latitude[i]),
            longitude_deg=float(longitude[i]),
            antenna_height_m=0.0,
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            gain_db=GAIN_DB,
            level_offset_sd_db=OFFSET_SD_DB,
            clock=clock,
            simulated=SimulatedReceiver(
                pace="fast",
                full_scale_dbm=FULL_SCALE_DBM,
                antenna_offset_db=float(rng.normal(0.0, OFFSET_SD_DB)),
            ),
        )
        for i in range(len(points) - 1)
    )
    config = Config(
        station=Station(name="sim"),
        channels=(
            Channel(
                name="sim",
                frequency_hz=FREQUENCY_HZ,
                open_db=OPEN_DB,
                tdoa_systematic_sigma_us=0.01,
            ),
        ),
        receivers=receivers,
        simulation=Simulation(
            seed=int(rng.integers(2**31)),
            duration_s=2.2,
            propagation=Propagation(
                exponent=exponent,
                shadowing_sigma_db=physics.SHADOWING_SD_DB,
                shadowing_near_exponent=physics.SHADOWING_EXPONENT,
                shadowing_min_db=physics.SHADOWING_MIN_DB,
                shadowing_max_db=physics.SHADOWING_MAX_DB,
                shadowing_correlation_m=0.0,
            ),
            transmitters=(
                Transmitter(
                    name="tx",
                    latitude_deg=float(latitude[-1]),
                    longitude_deg=float(longitude[-1]),
                    antenna_height_m=0.0,
                    frequency_hz=FREQUENCY_HZ,
                    power_dbm=power_dbm,
                    first_on_s=0.7,
                    on_s=0.8,
                    off_s=10.0,
                ),
            ),
        ),
    )
    return Network(points[:-1], points[-1], exponent, config)


def locate(network: Network, model: LocatorModel) -> Fix | None:
    """Run the network's IQ through the pipeline; the fix of the most receivers, if any."""
    publisher = KeepsFixes()
    pipeline = Pipeline(
        config=network.config,
        model=model,
        reference=model,
        publisher=publisher,  # type: ignore[arg-type]
        metrics=Metrics(),
        start_utc_ns=START_UTC_NS,
    )
    pipeline.start()
    deadline_s = time.monotonic() + SCENE_TIMEOUT_S
    while not pipeline.has_ended and time.monotonic() < deadline_s:
        time.sleep(0.005)
    late = pipeline.stop(deadline_s)
    assert not late, late
    return max(publisher.fixes, key=lambda fix: len(fix.scene.heard), default=None)


def bound_km2(network: Network, fix: Fix) -> Array | None:
    """The bound with what the fix had: the levels and limits, and the σ of its arrival times."""
    propagation = network.config.simulation.propagation
    ids = [o.receiver.receiver_id for o in fix.scene.observations]
    rows = [int(name[1:]) for name in ids]
    receivers = network.receivers[rows]
    distance = np.hypot(*(receivers - network.transmitter).T)
    power_dbm = network.config.simulation.transmitters[0].power_dbm
    expected_dbfs = (
        power_dbm
        - free_space_loss_db(FREQUENCY_HZ)
        - 10 * propagation.exponent * np.log10(1e3 * distance)
        + GAIN_DB
        - FULL_SCALE_DBM
    )
    limit_dbfs = np.array(
        [
            (o.noise_floor_dbfs or 0.0) + (OPEN_DB if o.heard else 0.0)
            for o in fix.scene.observations
        ]
    )
    information = level_information(
        receivers,
        network.transmitter,
        exponent=network.exponent,
        sigma_db=np.hypot(shadowing_db(distance), OFFSET_SD_DB),
        margin_db=expected_dbfs - limit_dbfs,
        radius_km=network.span_km / 2,
    )
    timed = [(i, a) for i, a in enumerate(fix.scene.arrivals) if a and not a.is_outlier]
    if len(timed) >= 2:
        information = information + arrival_information(
            receivers[[i for i, _ in timed]],
            network.transmitter,
            sigma_us=np.array([a.sigma_us for _, a in timed]),
        )
    bound: Array = np.linalg.inv(information)
    return bound


def print_table(model: LocatorModel, n: int, show: Callable[[str], None] = print) -> None:
    """RMS error over RMS bound, coverage and refusals, with and without shared clocks."""
    columns = ("n", "fixes", "ratio", "each", "cov68", "cov95", "NEES")
    show(f"{'family':<10}{'scenes':<26}" + "".join(f"{c:>8}" for c in columns))
    for share_clock, family in ((False, "rss"), (True, "rss+tdoa")):
        rng = np.random.default_rng([SEED, share_clock])
        rows = [_judge(draw_network(rng, share_clock=share_clock), model) for _ in range(n)]
        found = np.array([row for row in rows if row is not None])
        regular = found[:, 3] > 0
        for name, chosen in (("inside, bound < span/3", regular), ("all", regular | True)):
            error, bound, nees = found[chosen, :3].T
            show(
                f"{family:<10}{name:<26}{n:>8}{chosen.sum():>8}"
                f"{np.sqrt((error**2).mean() / (bound**2).mean()):>8.3f}"
                f"{np.sqrt(((error / bound) ** 2).mean()):>8.3f}"
                f"{(nees < CHI2_68).mean():>8.3f}{(nees < CHI2_95).mean():>8.3f}{nees.mean():>8.2f}"
            )


def _judge(network: Network, model: LocatorModel) -> tuple[float, float, float, float] | None:
    """Error and bound over the span, NEES, and whether the bound is asked to be met."""
    fix = locate(network, model)
    if fix is None or fix.position is None:
        return None
    position, span_m = fix.position, 1e3 * network.span_km
    true = LocalFrame(MIDDLE).from_enu_m(*(1e3 * network.transmitter))
    frame = LocalFrame(Place(position.latitude_deg, position.longitude_deg))
    off_m = np.array(frame.to_enu_m(*true))
    ee, en, nn = position.covariance_enu_m2
    nees = float(off_m @ np.linalg.solve([[ee, en], [en, nn]], off_m))
    bound = bound_km2(network, fix)
    bound_m = 1e3 * math.sqrt(np.trace(bound))
    is_regular = network.is_inside and bound_m < span_m / 3
    return float(np.hypot(*off_m)) / span_m, bound_m / span_m, nees, float(is_regular)
