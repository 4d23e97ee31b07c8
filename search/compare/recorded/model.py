"""Predicts a training of any configuration from recorded ones, and adds the spread that the predictions leave.

A forest of randomized trees predicts logarithms: of the curves of error and calibrated loss in a full and in a short
training, and of seconds. What is called noise here is the difference between a recorded training and its prediction by
a forest that was fitted without its configuration. It holds the noise of seeds and what the forest misses.
All curves of a configuration take theirs from the same recorded training, so a short training tells of the full one as
it does in reality. A recorded configuration is predicted as it was recorded, and has the noise of seeds alone. Where a
recording lacks processor seconds, the cost model of a search predicts them. Called by ``simulate``.
"""

from __future__ import annotations

import functools
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.compare.recorded.fidelity import spearman
from search.compare.recorded.forest import Forest, fit_forest
from search.compare.recorded.recordings import Recording, Training, read_recording
from search.engines.base import short_epochs
from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial
from search.study.cost import CostModel, EpochImages
from search.trial import Config, Phase, config_key
from spaces import registry
from spaces.domains import Choice, Domain
from spaces.space import Space

MIN_CONFIGURATIONS = 20
"""Fewest configurations that were trained both in full and briefly."""
FOLDS = 5
NEIGHBOURS = 30
"""Noise is taken from one of the recorded configurations with the nearest predicted losses, this many."""
BEST_SHARE = 1 / 3
"""Share of the recorded configurations among which predictions are judged once more: a search compares good ones."""
FAILED_ERROR_PERCENT, FAILED_LOSS = 90.0, float(np.log(10))
"""Error and loss of every epoch of a training that failed: those of a constant prediction of ten classes."""
LEAST_ERROR_PERCENT, LEAST_LOSS, LEAST_SECONDS = 0.005, 1e-4, 1e-3
"""Smaller values are raised to these, for their logarithms."""
INACTIVE = -1.0
"""Feature of a parameter that a configuration lacks; others lie in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well one quantity is predicted, by cross-validation over configurations.

    Args:
        name: The quantity.
        spearman: Rank correlation of predicted and recorded values.
        spearman_of_best: The same among the configurations with the lowest full calibrated loss.
        r2: Explained share of the variance of the logarithm.
        residual: Standard deviation of the residuals of the logarithm.
        seeds: Standard deviation of the same between seeds of one configuration; None without repeated ones.
    """

    name: str
    spearman: float
    spearman_of_best: float
    r2: float
    residual: float
    seeds: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Trainings of one configuration.

    Args:
        full_error: (epochs,), error in percent after each epoch of a full training.
        full_loss: (epochs,), calibrated loss.
        short_error: (short epochs,).
        short_loss: (short epochs,).
        startup_seconds: Seconds before the first epoch.
        epoch_seconds: Seconds of an epoch on a search's images.
    """

    full_error: np.ndarray
    full_loss: np.ndarray
    short_error: np.ndarray
    short_loss: np.ndarray
    startup_seconds: float
    epoch_seconds: float


class TrainingModel:
    """Predicts trainings of one space.

    Args:
        recording: The recorded trainings.

    Raises:
        UserError: There are too few of them.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording, self.space = recording, recording.space
        self.epochs, self.short_epochs = recording.epochs, short_epochs(recording.epochs)
        groups = _targets_by_config(recording, self.epochs, self.short_epochs)
        self.configs = [group[0] for group in groups.values()]
        if len(groups) < MIN_CONFIGURATIONS:
            raise UserError(
                f"Too few configurations are recorded at {self.epochs} and {self.short_epochs} epochs. "
                f"Expected: at least {MIN_CONFIGURATIONS}. Received: {len(groups)}.",
                hint="Record more with benchmarks/record.py.",
            )
        features = np.array([encode(self.space, config) for config in self.configs])
        targets = [np.array(group[1]) for group in groups.values()]  # (seeds, outputs) each
        means = np.array([target.mean(axis=0) for target in targets])
        self._center, self._scale = means.mean(axis=0), means.std(axis=0) + 1e-9
        self._forest = self._fit(features, means)
        held_out = self._cross_validated(features, means)
        self._held_out_losses = np.repeat(held_out[:, self._final_loss], [len(target) for target in targets])
        self._noise = np.concatenate([target - row for target, row in zip(targets, held_out, strict=True)])
        self._seed_noise = np.concatenate([_deviations(target) for target in targets])
        self._recorded = frozenset(groups)
        self._costs = None if recording.has_cpu_seconds else _cost_model(recording)
        self.quality = self._qualities(means, held_out, targets)
        self._predictions: dict[str, np.ndarray] = {}

    def curves(self, config: Config, noise_seed: int | None = None) -> Curves:
        """Returns the predicted trainings of a configuration.

        Args:
            config: The configuration.
            noise_seed: The same configuration and seed have the same noise; None for no noise.
        """
        row = self._prediction(config)
        if noise_seed is not None:
            row = row + self._drawn_noise(config, row, noise_seed)
        full, short = self.epochs, self.short_epochs
        errors, losses = np.exp(row[:-2][: full + short]), np.exp(row[:-2][full + short :])
        errors = np.minimum(errors, FAILED_ERROR_PERCENT)
        startup, epoch = self._seconds(config, row)
        return Curves(
            full_error=errors[:full],
            full_loss=losses[:full],
            short_error=errors[full:],
            short_loss=losses[full:],
            startup_seconds=startup,
            epoch_seconds=epoch,
        )

    def error_percent(self, config: Config, noise_seed: int | None = None) -> float:
        """Returns the error after a full training; see ``curves``."""
        return float(self.curves(config, noise_seed).full_error[-1])

    def seconds(self, config: Config, epochs: int) -> float:
        """Returns the predicted seconds of some epochs on a search's images, building included, without noise."""
        curves = self.curves(config)
        return curves.startup_seconds + epochs * curves.epoch_seconds

    def simulated_trial(self, config: Config, *, is_short: bool, noise_seed: int) -> SimulatedTrial:
        """Returns the course of a trial; errors are multiples of one image."""
        curves, step = self.curves(config, noise_seed), 100 / self.recording.validation_images
        errors = curves.short_error if is_short else curves.full_error
        losses = curves.short_loss if is_short else curves.full_loss
        seconds = curves.epoch_seconds
        return SimulatedTrial(
            epochs=tuple(
                SimulatedEpoch(
                    error_percent=round(round(error / step) * step, 6),
                    calibrated_loss=loss,
                    seconds=seconds + (0.0 if epoch else curves.startup_seconds),
                )
                for epoch, (error, loss) in enumerate(zip(errors.tolist(), losses.tolist(), strict=True))
            )
        )

    def _seconds(self, config: Config, logarithms: np.ndarray) -> tuple[float, float]:
        """Returns the seconds of building, and of an epoch on a search's images."""
        if self._costs is None:
            startup, epoch = np.exp(logarithms[-2:]).tolist()
            return startup, epoch * self.recording.epoch_scale
        without, full = (self._costs.trial_seconds(config, epochs=epochs) for epochs in (0, self.epochs))
        return without, (full - without) / self.epochs

    @property
    def _final_loss(self) -> int:
        """The column of the calibrated loss of a full training."""
        return 2 * self.epochs + self.short_epochs - 1

    def _fit(self, features: np.ndarray, targets: np.ndarray) -> Forest:
        """Returns the forest that predicts standardized logarithms."""
        return fit_forest(features, (targets - self._center) / self._scale)

    def _predict(self, forest: Forest, features: np.ndarray) -> np.ndarray:
        """Returns the predicted logarithms of one configuration, (outputs,)."""
        logarithms: np.ndarray = forest.predict(features) * self._scale + self._center
        return logarithms

    def _cross_validated(self, features: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Returns the prediction of each configuration by a forest that was fitted without it."""
        predicted = np.empty_like(means)
        fold_of = np.random.default_rng(0).permutation(len(means)) % FOLDS
        for fold in range(FOLDS):
            forest = self._fit(features[fold_of != fold], means[fold_of != fold])
            for index in np.flatnonzero(fold_of == fold):
                predicted[index] = self._predict(forest, features[index])
        return predicted

    def _prediction(self, config: Config) -> np.ndarray:
        key = config_key(config)
        if (row := self._predictions.get(key)) is None:
            row = self._predictions[key] = self._predict(self._forest, encode(self.space, config))
        return row

    def _drawn_noise(self, config: Config, prediction: np.ndarray, seed: int) -> np.ndarray:
        """Returns the noise of a configuration, (outputs,): for a recorded one that of seeds alone."""
        key = config_key(config)
        generator = np.random.default_rng([seed, zlib.crc32(key.encode())])
        if key in self._recorded:
            pool = self._seed_noise if len(self._seed_noise) else np.zeros((1, len(prediction)))
        else:
            distances = np.abs(self._held_out_losses - prediction[self._final_loss])
            pool = self._noise[np.argsort(distances, kind="stable")[:NEIGHBOURS]]
        drawn: np.ndarray = pool[generator.integers(len(pool))]
        return drawn

    def _qualities(self, means: np.ndarray, held_out: np.ndarray, targets: Sequence[np.ndarray]) -> tuple[Quality, ...]:
        full, short = self.epochs, self.short_epochs
        columns = {
            f"error after {full} epochs": full - 1,
            f"calibrated loss after {full} epochs": self._final_loss,
            f"calibrated loss after {short} epochs": self._final_loss + short,
        }
        if self._costs is None:
            columns["seconds of an epoch"] = -1
        is_best = np.argsort(means[:, self._final_loss])[: max(3, int(BEST_SHARE * len(means)))]
        repeated = [target for target in targets if len(target) > 1]
        qualities = []
        for name, column in columns.items():
            recorded, predicted = means[:, column], held_out[:, column]
            within = [target[:, column].var(ddof=1) for target in repeated]
            qualities.append(
                Quality(
                    name=name,
                    spearman=spearman(recorded, predicted),
                    spearman_of_best=spearman(recorded[is_best], predicted[is_best]),
                    r2=float(1 - ((recorded - predicted) ** 2).mean() / max(recorded.var(), 1e-12)),
                    residual=float(self._noise[:, column].std()),
                    seeds=float(np.sqrt(np.mean(within))) if within else None,
                )
            )
        return tuple(qualities)


def _cost_model(recording: Recording) -> CostModel:
    """Returns the shipped cost model for a search on all images."""
    space = recording.space
    workload = registry.load(space.name).workload if space.name in registry.SPACES else None
    images = EpochImages(trained=recording.search_images, scored=recording.validation_images)
    return CostModel(
        workload=workload,
        image_shape=recording.image_shape,
        classes=recording.classes,
        images={Phase.SEARCH: images},
        epochs=recording.epochs,
    )


@functools.cache
def load_model(path: Path) -> TrainingModel:
    """Returns the model of a recording, fitted once per process.

    Raises:
        UserError: The file cannot be read, or holds too few trainings.
    """
    return TrainingModel(read_recording(path))


def encode(space: Space, config: Config) -> np.ndarray:
    """Returns a configuration as features, (features,): a number's place in its range, and 0 or 1 for each word."""
    parts = [_encode_value(domain, config.get(name)) for name, domain in space.parameters.items()]
    return np.concatenate(parts).astype(np.float32)


def _encode_value(domain: Domain, value: Any) -> np.ndarray:
    if isinstance(domain, Choice):
        return np.array([INACTIVE if value is None else float(value == option) for option in domain.options])
    if value is None:
        return np.array([INACTIVE])
    low, high, number = (np.log(x) if domain.log else float(x) for x in (domain.low, domain.high, value))
    return np.array([(number - low) / (high - low) if high > low else 0.0])


def _targets_by_config(recording: Recording, full: int, short: int) -> dict[str, tuple[Config, list[np.ndarray]]]:
    """Returns each configuration with the logarithms to predict, one row a seed that was trained at both lengths."""
    by_seed: dict[tuple[str, int], dict[int, Training]] = defaultdict(dict)
    for training in recording.trainings:
        by_seed[config_key(training.config), training.seed][training.epochs] = training
    rows: dict[str, tuple[Config, list[np.ndarray]]] = {}
    for (key, _), trainings in by_seed.items():
        if full in trainings and short in trainings and recording.space.contains(trainings[full].config):
            config = trainings[full].config
            rows.setdefault(key, (config, []))[1].append(_log_targets(trainings, full, short))
    return rows


def _log_targets(trainings: Mapping[int, Training], full: int, short: int) -> np.ndarray:
    curves = [_finite_curve(trainings[epochs], epochs) for epochs in (full, short)]
    errors = np.concatenate([np.maximum(curve[:, 0], LEAST_ERROR_PERCENT) for curve in curves])
    losses = np.concatenate([np.clip(curve[:, 1], LEAST_LOSS, FAILED_LOSS) for curve in curves])
    longest = max(trainings.values(), key=lambda training: len(training.curve))
    logarithms: np.ndarray = np.log(np.concatenate([errors, losses, np.maximum(_seconds(longest), LEAST_SECONDS)]))
    return logarithms


def _deviations(target: np.ndarray) -> np.ndarray:
    """Returns the deviations of several seeds from their mean, with the variance of one seed; none for one seed."""
    count = len(target)
    deviations: np.ndarray = (target - target.mean(axis=0)) * np.sqrt(count / max(1, count - 1))
    return deviations[: count if count > 1 else 0]


def _finite_curve(training: Training, epochs: int) -> np.ndarray:
    """Returns a training's curve, (epochs, 4); that of a constant prediction if it failed."""
    if training.is_complete and len(training.curve) == epochs:
        return training.curve
    failed: np.ndarray = np.tile([FAILED_ERROR_PERCENT, FAILED_LOSS, FAILED_LOSS, np.nan], (epochs, 1))
    return failed


def _seconds(training: Training) -> tuple[float, float]:
    """Returns the seconds of building and tracing, and those of a median epoch; of the processor where measured."""
    if not len(training.curve):
        return LEAST_SECONDS, LEAST_SECONDS
    share = 1.0 if training.cpu_seconds is None else training.cpu_seconds / training.seconds
    epoch = float(np.median(training.curve[:, 3]))
    return share * (training.seconds - len(training.curve) * epoch), share * epoch
