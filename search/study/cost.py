"""Predicts the seconds of trials from the operations of their networks, corrected by the trials that have run.

The work of a trial is counted by kind: multiply-adds of convolutions, values of batch normalization, parameters that
the optimizer updates, and so on. Its seconds are the sum over the kinds of work times seconds per unit. A shipped
estimate of the latter (``SECONDS_PER_UNIT``) is the prior of a fit to the trials that a study has recorded. Pure
functions, called by ``search.session``, the dry run, the progress display and ``benchmarks/cost.py``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from search.data.dataset import DatasetInfo
from search.data.split import VALIDATION_DIVISOR
from search.protocol import EvaluationProtocol, ProtocolName
from search.records.record import TrialRecord
from search.trial import Config, Phase, config_key
from spaces.training import AUGMENTATION_PARAMETERS, complete
from spaces.workload import Workload, WorkloadFunction, try_count

SECONDS_PER_UNIT: Mapping[str, float] = MappingProxyType(
    {
        "image_convolution_macs": 2.8e-11,
        "convolution_macs": 3.6e-11,
        "dense_macs": 1.8e-11,
        "convolved_values": 1.9e-09,
        "gelu_map_values": 9e-10,
        "smooth_values": 3.7e-09,
        "normalized_values": 1.7e-09,
        "pooled_values": 1.9e-09,
        "dropped_values": 2.5e-09,
        "pixels": 1.2e-08,
        "augmented_pixels": 2e-08,
        "updated_parameters": 2.1e-09,
        "layer_steps": 6e-05,
        "epochs": 0.084,
        "first_epochs": 0.22,
    }
)
"""Seconds of each kind of work on one core, by ``benchmarks/cost.py --fit`` from this project's published studies and
from 140 random configurations of ``cnn`` and ``mlp`` on another machine, with oneDNN off and on. Where faster layers
came since, they are scaled by the measured steps (docs/LOG.md): the ratio of each best recipe's speed to its baseline's
lies within a tenth of what ``benchmarks/step.py`` measures."""
BUILD_SECONDS, BUILD_SECONDS_PER_LAYER = 0.37, 0.175
"""Seconds to build, trace and compile a network, of all and of each layer: a fit to the published studies."""
UNKNOWN_NETWORK = Workload(
    image_convolution_macs=460_800,
    dense_macs=591_104,
    convolved_values=18_432,
    pooled_values=18_432,
    pixels=784,
    parameters=592_074,
    layers=3,
)
"""Stands for a network whose work the space does not or cannot count: the baseline of the space ``cnn``. Such
configurations differ by batch size, augmentation, images and epochs alone; recorded trials correct their common speed.
"""

MACHINE_DEVIATION = 1.5
"""Standard deviation of the prior of a machine's speed, as a logarithm: a factor of 4.5 either way."""
KIND_DEVIATION = 0.7
"""The same of each kind's own speed relative to the machine's: kernels differ by a factor of 2."""
NOISE_DEVIATION = 0.2
"""The same of the seconds of equal trainings."""
CONFIG_DEVIATION, UNKNOWN_CONFIG_DEVIATION = 0.3, 0.7
"""The same of a configuration's own deviation from its counted work, and of that of an unknown network."""
HUBER_DEVIATIONS = 1.5
"""Standard deviations beyond which an observation loses weight."""
MAX_ITERATIONS, MAX_OBSERVATIONS = 50, 200
"""Most steps of a fit, and most observations, the latest, from which it takes the seconds per unit."""
OPTIMIZER_WORK = {"adam": 1.0, "adamw": 1.1, "sgd": 0.6}
"""Work of an update of one parameter, relative to Adam's; other optimizers count as Adam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochImages:
    """The images of an epoch.

    Args:
        trained: Images trained on, by all folds together.
        scored: Images scored, likewise.
        folds: Networks that are trained on them.
        is_scored_every_epoch: Whether every epoch is scored, or the last one only.
    """

    trained: int
    scored: int
    folds: int = 1
    is_scored_every_epoch: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """Measured seconds of known work.

    Args:
        config: The configuration that ran.
        work: By kind, (kinds,).
        seconds: Seconds that it took, without building; more than 0.
        build_ratio: Measured to prior seconds of building; None if they were not measured.
    """

    config: Config
    work: np.ndarray
    seconds: float
    build_ratio: float | None = None


def images_by_phase(protocol: EvaluationProtocol, dataset: DatasetInfo) -> dict[Phase, EpochImages]:
    """Returns the images of each phase; a split by groups takes nearly, not exactly, a sixth for validation."""
    whole = EpochImages(trained=dataset.training_count, scored=dataset.test_count)
    count, folds = dataset.training_count, protocol.folds
    validation = dataset.given_validation or count // VALIDATION_DIVISOR
    holdout = EpochImages(trained=count - validation, scored=validation)
    if folds > 1:
        holdout = EpochImages(trained=(folds - 1) * count, scored=count, folds=folds)
    return {
        Phase.SEARCH: holdout if protocol.name is ProtocolName.HOLDOUT else whole,
        Phase.VERIFICATION: replace(whole, is_scored_every_epoch=False),
        Phase.REPRODUCTION: whole,
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostModel:
    """Predicts the seconds of any configuration of a space on one data set.

    Args:
        workload: Counts the networks of the space; None if the space does not declare it.
        image_shape: (height, width, channels).
        classes: Number of classes.
        images: Of each phase.
        epochs: Epochs of a full trial.
        seconds_per_unit: Of each kind of work, (kinds,), in the order of ``SECONDS_PER_UNIT``.
        build_factor: Ratio of measured to prior seconds of building.
        config_factors: By ``config_key``, the seconds of a configuration that has run relative to its counted work.
    """

    workload: WorkloadFunction | None
    image_shape: tuple[int, int, int]
    classes: int
    images: Mapping[Phase, EpochImages]
    epochs: int
    seconds_per_unit: np.ndarray = field(default_factory=lambda: np.array(list(SECONDS_PER_UNIT.values())))
    build_factor: float = 1.0
    config_factors: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def for_data(
        cls, workload: WorkloadFunction | None, protocol: EvaluationProtocol, dataset: DatasetInfo
    ) -> CostModel:
        """Returns the prior for a space on a data set."""
        return cls(
            workload=workload,
            image_shape=dataset.image_shape,
            classes=dataset.classes,
            images=images_by_phase(protocol, dataset),
            epochs=protocol.epochs,
        )

    def trial_seconds(self, config: Config, *, epochs: int | None = None, phase: Phase = Phase.SEARCH) -> float:
        """Returns the seconds of a trial: building, training and scoring, without the start of its worker.

        Args:
            config: The configuration.
            epochs: Epochs that it trains; None for a full trial.
            phase: Decides how many images are trained on and scored.
        """
        network = self._network(config)
        work = _work(config, network, self.images[phase], range(self.epochs if epochs is None else epochs))
        return self.build_factor * _prior_build_seconds(network) + self.work_seconds(config, work)

    def work_seconds(self, config: Config, work: np.ndarray) -> float:
        """Returns the seconds of a configuration's work by kind, (kinds,)."""
        return self.config_factors.get(config_key(config), 1.0) * float(work @ self.seconds_per_unit)

    def observe(self, record: TrialRecord) -> Observation | None:
        """Returns what a recorded trial tells about costs; None if it trained no epoch, or in another study."""
        outcome = record.outcome
        if outcome is None or not outcome.epochs_trained or record.copied_from:
            return None
        build = outcome.seconds.get("build", 0.0)
        reports = [report for report in outcome.history if not report.restored]
        seconds = sum(report.seconds for report in reports)
        if reports[0].epoch == 1:  # the first epoch's seconds include tracing, most of "build"
            seconds -= min(build, reports[0].seconds / 2)
        config, images = record.trial.config, self.images[record.trial.phase]
        if not seconds > 0.0 or not math.isfinite(seconds):
            return None
        return Observation(
            config=config,
            work=_work(config, self._network(config), images, [report.epoch - 1 for report in reports]),
            seconds=seconds,
            build_ratio=build / _prior_build_seconds(self._network(config)) if build > 0.0 else None,
        )

    def observe_throughput(self, config: Config, images_per_second: float) -> Observation:
        """Returns what a measurement of one worker tells, in which a configuration trained without scoring.

        Args:
            config: The configuration.
            images_per_second: More than 0.
        """
        images = replace(self.images[Phase.SEARCH], scored=0)
        return Observation(
            config=config,
            work=_work(config, self._network(config), images, [1]),
            seconds=images.trained / images_per_second,
        )

    def fit(self, observations: Iterable[Observation]) -> CostModel:
        """Returns the model corrected by observations of equal workers; this model is the prior.

        The speed of the machine, the speed of each kind of work and the deviation of each configuration have normal
        priors, as logarithms; the fit is their maximum a posteriori, with outliers weighted down.
        """
        observed = list(observations)
        if not observed:
            return self
        config_deviation = UNKNOWN_CONFIG_DEVIATION if self.workload is None else CONFIG_DEVIATION
        deviation = math.hypot(NOISE_DEVIATION, config_deviation)
        work = np.stack([observation.work for observation in observed])
        seconds = np.array([observation.seconds for observation in observed])
        latest = slice(-MAX_OBSERVATIONS, None)
        seconds_per_unit = fit_seconds_per_unit(work[latest], seconds[latest], self.seconds_per_unit, deviation)
        deviations = defaultdict[str, list[float]](list)
        for observation, residual in zip(observed, np.log(seconds / (work @ seconds_per_unit)), strict=True):
            deviations[config_key(observation.config)].append(float(residual))
        variance_ratio = (NOISE_DEVIATION / config_deviation) ** 2
        ratios = [observation.build_ratio for observation in observed if observation.build_ratio is not None]
        return replace(
            self,
            seconds_per_unit=seconds_per_unit,
            build_factor=self.build_factor * float(np.median(ratios)) if ratios else self.build_factor,
            config_factors={
                key: math.exp(sum(values) / (len(values) + variance_ratio)) for key, values in deviations.items()
            },
        )

    def _network(self, config: Config) -> Workload:
        """Returns the counts of a configuration's network; those of an unknown one if it cannot be counted."""
        counted = self.workload and try_count(self.workload, config, self.image_shape, self.classes)
        return counted or replace(UNKNOWN_NETWORK, pixels=math.prod(self.image_shape))


def _prior_build_seconds(network: Workload) -> float:
    return BUILD_SECONDS + BUILD_SECONDS_PER_LAYER * network.layers


def _work(config: Config, network: Workload, images: EpochImages, epochs: Sequence[int]) -> np.ndarray:
    """Returns the work of some epochs, numbered from 0, by kind, (kinds,), in the order of ``SECONDS_PER_UNIT``.

    Training computes a layer's output, the gradient of its weights and the gradient of its inputs: three passes over
    its weights, and two over values. Scoring computes the output alone.
    """
    training = complete(config)
    steps = images.folds * math.ceil(images.trained / images.folds / training["batch_size"])
    scored = images.scored * (1.0 if images.is_scored_every_epoch else 1.0 / max(1, len(epochs)))
    three_passes, two_passes = 3 * images.trained + scored, 2 * images.trained + scored
    is_augmented = any(training[name] for name in AUGMENTATION_PARAMETERS)
    by_kind = {
        "image_convolution_macs": network.image_convolution_macs * two_passes,
        "convolution_macs": network.convolution_macs * three_passes,
        "dense_macs": network.image_dense_macs * two_passes + network.dense_macs * three_passes,
        "convolved_values": network.convolved_values * two_passes,
        "gelu_map_values": network.gelu_map_values * two_passes,
        "smooth_values": network.smooth_values * two_passes,
        "normalized_values": network.normalized_values * two_passes,
        "pooled_values": network.pooled_values * two_passes,
        "dropped_values": network.dropped_values * images.trained,
        "pixels": network.pixels * (images.trained + scored),
        "augmented_pixels": network.pixels * images.trained * is_augmented,
        "updated_parameters": network.parameters * steps * OPTIMIZER_WORK.get(training["optimizer"], 1.0),
        "layer_steps": network.layers * steps,
        "epochs": float(images.folds),
        "first_epochs": (0 in epochs) / max(1, len(epochs)),  # scoring is traced there
    }
    return len(epochs) * np.array([by_kind[kind] for kind in SECONDS_PER_UNIT], dtype=float)


def fit_seconds_per_unit(
    work: np.ndarray, seconds: np.ndarray, prior: np.ndarray, deviation: float, kind_deviation: float = KIND_DEVIATION
) -> np.ndarray:
    """Returns the corrected seconds of each kind of work, by Gauss-Newton steps with Huber's weights.

    Args:
        work: (observations, kinds).
        seconds: (observations,).
        prior: Seconds per unit, (kinds,).
        deviation: Standard deviation of an observation's logarithm.
        kind_deviation: That of a kind's prior.
    """
    # The last coefficient is the machine's, the others are each kind's own; all are logarithms of factors.
    precision = np.array([kind_deviation**-2] * len(prior) + [MACHINE_DEVIATION**-2])
    initial = float(np.median(np.log(seconds / (work @ prior))))
    coefficients = np.append(np.zeros(len(prior)), initial)
    for _ in range(MAX_ITERATIONS):
        by_kind = work * (prior * np.exp(coefficients[:-1] + coefficients[-1]))
        predicted = by_kind.sum(axis=1)
        gradient = np.column_stack([by_kind / predicted[:, None], np.ones(len(seconds))])
        residuals = np.log(seconds / predicted)
        weights = np.minimum(1.0, HUBER_DEVIATIONS * deviation / np.maximum(np.abs(residuals), 1e-12)) / deviation**2
        step = np.linalg.solve(
            gradient.T @ (gradient * weights[:, None]) + np.diag(precision),
            gradient.T @ (residuals * weights) - precision * coefficients,
        )
        coefficients = coefficients + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-6:
            break
    corrected: np.ndarray = prior * np.exp(coefficients[:-1] + coefficients[-1])
    return corrected
