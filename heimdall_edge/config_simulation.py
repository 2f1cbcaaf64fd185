"""The ``[simulation]`` table: transmitters and the air between them and the simulated receivers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from heimdall_edge.config_base import Decibels, Hertz, Latitude, Longitude, Name, Seconds, Table


class Propagation(Table):
    """How level falls with distance: log-distance, with shadowing that is frozen in place."""

    exponent: Annotated[float, Field(ge=1, le=6)] = 3.0
    """Path loss exponent n: the level falls by 10 n dB a decade of distance."""
    reference_loss_db: Decibels | None = None
    """Loss at 1 m; free space at the channel's frequency when left out."""
    shadowing_sigma_db: Annotated[float, Field(ge=0, le=30)] = 6.0
    """Standard deviation of shadowing at 300 m and beyond the near range."""
    shadowing_near_exponent: Annotated[float, Field(ge=0, le=2)] = 0.0
    """sigma grows as (300 m / distance) to this power nearer in; 0 keeps it constant."""
    shadowing_min_db: Annotated[float, Field(ge=0, le=30)] = 0.0
    """Least sigma."""
    shadowing_max_db: Annotated[float, Field(ge=0, le=30)] = 30.0
    """Greatest sigma."""
    shadowing_correlation_m: Annotated[float, Field(ge=0, le=100_000)] = 100.0
    """Distance over which the shadowing of two places falls to 1/e; 0 is none."""
    delay: bool = True
    """Whether the signal takes its time: distance over the speed of light."""


class TrackPoint(Table):
    """Where a moving transmitter is at an instant; it goes straight in between."""

    at_s: Annotated[float, Field(ge=0)]
    """Seconds since the simulation's start."""
    latitude_deg: Latitude
    longitude_deg: Longitude


class Transmitter(Table):
    """One transmitter; its place is the truth that the pipeline never sees."""

    name: Name
    latitude_deg: Latitude | None = None
    """Where it stands; leave it out when ``track`` says."""
    longitude_deg: Longitude | None = None
    altitude_m: Annotated[float, Field(ge=-500, le=9_000)] = 0.0
    """Height of the ground above mean sea level, also all along a track."""
    antenna_height_m: Annotated[float, Field(ge=0, le=10_000)] = 1.5
    track: tuple[TrackPoint, ...] = ()
    """Places in time order, for one that moves."""
    track_repeats: bool = False
    """Whether it starts over at the last point's ``at_s``; it stays there when not."""
    frequency_hz: Hertz
    power_dbm: Decibels = 30.0
    """Effective radiated power."""
    modulation: Literal["nfm", "cw", "ook"] = "nfm"
    """Voice-like narrow-band FM, a bare carrier, or on–off keyed bursts."""
    deviation_hz: Hertz = 2_500.0
    """Peak deviation of ``nfm``."""
    symbol_rate_hz: Hertz = 2_000.0
    """Keying rate of ``ook``."""
    first_on_s: Annotated[float, Field(ge=0)] = 1.0
    """When it first speaks, seconds since the start."""
    on_s: Seconds = 2.0
    """How long it speaks."""
    off_s: Annotated[float, Field(ge=0)] = 3.0
    """How long it is silent in between; 0 never stops."""

    @model_validator(mode="after")
    def _has_a_place(self) -> Transmitter:
        fixed = self.latitude_deg is not None and self.longitude_deg is not None
        if fixed == bool(self.track):
            raise ValueError("give either latitude_deg and longitude_deg, or track")
        times = [point.at_s for point in self.track]
        if times != sorted(set(times)):
            raise ValueError("track: at_s must rise from point to point")
        return self


class Simulation(Table):
    """A physical network of simulated receivers around transmitters; the same for one seed."""

    seed: Annotated[int, Field(ge=0)] = 1
    duration_s: Seconds | None = None
    """How long it lasts; for ever when left out."""
    propagation: Propagation = Propagation()
    transmitters: tuple[Transmitter, ...] = ()
    truth_path: Path | None = None
    """Where the truth is written, one JSON line a transmission; for evaluation only."""


class SimulatedReceiver(Table):
    """What is imperfect about one simulated receiver."""

    noise_figure_db: Annotated[float, Field(ge=0, le=40)] = 6.0
    man_made_noise_db: Annotated[float, Field(ge=0, le=80)] = 10.0
    """External noise over kTB at the antenna (ITU-R P.372 calls it Fa)."""
    full_scale_dbm: Decibels = -10.0
    """Level at the antenna that fills the converter at 0 dB gain."""
    antenna_offset_db: Decibels = 0.0
    """What this antenna and cable read too high: the calibration error that nobody knows."""
    frequency_error_ppm: Annotated[float, Field(ge=-200, le=200)] = 0.0
    """Of the crystal: tuning and sample clock are off together."""
    dc_offset: Annotated[float, Field(ge=0, le=0.5)] = 0.002
    """DC spike, share of full scale."""
    iq_gain_imbalance_db: Annotated[float, Field(ge=0, le=6)] = 0.1
    iq_phase_imbalance_deg: Annotated[float, Field(ge=0, le=30)] = 1.0
    block_samples: Annotated[int, Field(ge=256, le=4_194_304)] = 65_536
    """Samples a block."""
    pace: Literal["real_time", "fast"] = "real_time"
    """As a radio would, or as fast as the worker goes (without loss)."""
