"""Trains published configurations under several splits, to choose the default split of the embedded MNIST.

    python benchmarks/split.py --space mlp --count 10 --out split.jsonl
    python benchmarks/split.py --space cnn --count 4 --out split.jsonl

Each configuration is trained with the same seed under each split, on the training images that the split leaves. One
network gives both errors, so that their gap has no part from more training images. The same command continues after a
stop; several processes may write to the same file, each with other splits or seeds. At the end, and with ``--count 0``
alone, the table of all recorded trainings is printed. A split is better whose validation error is nearer to the test
error and orders the configurations more as it does.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from search.compare.recorded.recordings import read_recording
from search.compare.tabular.store import drop_incomplete_line
from search.data.dataset import open_test, open_training, prepare
from search.data.mnist import read_mnist_writers
from search.data.split import make_split_indices
from search.leaderboard.compute import compute
from search.protocol import EvaluationProtocol, Split
from search.records.study_json import FILE_NAME, loads
from search.training.runtime import Device, Runtime
from search.training.task import Task, open_phase_images
from search.training.trainer import Trainer
from search.trial import Config, Phase, State, Trial, TrialFiles, config_key
from spaces import registry

PUBLISHED = Path(__file__).parents[1] / "reports" / "published"
NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTrainer:
    """Trains under one split and scores validation and test images.

    Args:
        trainer: Its evaluation images are the validation images, then the test images.
        epochs: Of each training.
        labels: Labels of the evaluation images, (validation + test,).
        validation: Indices of the validation images among the training images, (validation,).
    """

    trainer: Trainer
    epochs: int
    labels: np.ndarray
    validation: np.ndarray

    def train(self, config: Config, seed: int) -> dict[str, Any]:
        """Returns the seconds of a training, and the misclassified validation and test images by their indices."""
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.npz"
            trial = Trial(number=0, config=config, seed=seed, epochs=self.epochs)
            outcome = self.trainer.run(trial, files=TrialFiles(predictions=str(path)))
            if outcome.state is not State.COMPLETE:
                raise SystemExit(f"The training failed: {outcome.message}\n{outcome.traceback}")
            with np.load(path) as saved:
                predicted = saved["probabilities"].argmax(axis=1)
        self.trainer.free_memory()
        wrong, count = np.flatnonzero(predicted != self.labels), len(self.validation)
        return {
            "cpu_seconds": round(time.process_time() - started, 2),
            "parameters": outcome.parameter_count,
            "wrong_validation": self.validation[wrong[wrong < count]].tolist(),
            "wrong_test": (wrong[wrong >= count] - count).tolist(),
        }


def split_trainer(space: str, split: Split, *, split_seed: int, epochs: int, threads: int) -> SplitTrainer:
    """Returns a trainer on the embedded MNIST."""
    info = prepare("mnist")
    protocol = EvaluationProtocol(
        dataset=info.name, data_sha256=info.sha256, split=split, split_seed=split_seed, epochs=epochs
    )
    task = Task(
        protocol=protocol, dataset=info, space_source=space, runtime=Runtime(device=Device.CPU, threads=threads)
    )
    trainer, test = Trainer(task), open_test(info)
    (images,) = open_phase_images(Phase.SEARCH, task)
    labels = np.concatenate([images.evaluation_labels, test.labels])
    # The trainer itself scores the validation images alone.
    scored = replace(
        images,
        evaluation_images=np.concatenate([images.evaluation_images, test.images]),
        evaluation_labels=labels,
        evaluate_every_epoch=False,
    )
    trainer._phases[Phase.SEARCH] = (scored,)
    validation = make_split_indices(open_training(info), split=split, seed=split_seed).validation
    return SplitTrainer(trainer=trainer, epochs=epochs, labels=labels, validation=validation)


def published_configurations(space_name: str) -> dict[str, Config]:
    """Returns published configurations of a space by name, without repetition.

    The verified ones come first, by test error, then the recipes of today, full search trials by validation error, and
    what was recorded on MNIST by calibrated loss.
    """
    paths = sorted(PUBLISHED.rglob(FILE_NAME))
    board = compute([loads(path.read_bytes(), str(path)) for path in paths])
    space = registry.load(space_name)
    rows = [row for section in board.sections for row in section.rows if row.study.space.name == space_name]
    full = [row for row in rows if row.state is State.COMPLETE and not row.is_short]
    verified = sorted((row for row in full if row.test_error), key=lambda row: row.error_percent or 0.0)
    others = (row for row in full if not row.test_error and row.validation_error_percent is not None)
    searched = sorted(others, key=lambda row: row.validation_error_percent or 0.0)
    recordings = map(read_recording, sorted(PUBLISHED.rglob("*.jsonl.gz")))
    recorded = [
        training
        for recording in recordings
        if (recording.space.name, recording.dataset) == (space_name, "mnist")
        for training in recording.full_trainings
    ]
    recorded.sort(key=lambda training: float(training.curve[-1, 1]))
    named = [
        *((row.name, row.config) for row in verified),
        *((f"recipe: {name}", space.recipe(name)) for name in space.recipes),
        *((row.name, row.config) for row in searched),
        *((f"recorded {index}", training.config) for index, training in enumerate(recorded)),
    ]
    distinct: dict[str, tuple[str, Config]] = {}
    for name, config in named:
        if space.contains(config):
            distinct.setdefault(config_key(config), (name, config))
    return dict(distinct.values())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the recorded trainings; a last line that a killed process left incomplete is ignored."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def key_of(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what a training is recorded under."""
    names = ("space", "epochs", "split", "split_seed", "seed")
    return (*(line[name] for name in names), config_key(line["config"]))


def error_percents(line: Mapping[str, Any]) -> tuple[float, float]:
    """Returns validation and test error in percent."""
    return (
        100.0 * len(line["wrong_validation"]) / line["validation_images"],
        100.0 * len(line["wrong_test"]) / line["test_images"],
    )


def writer_variance(wrong: Iterable[Sequence[int]], chosen: np.ndarray, writers: np.ndarray) -> float:
    """Returns the variance of a mean error, in squared points, with the writers as clusters.

    Args:
        wrong: The misclassified images of each training.
        chosen: The scored images, (count,).
        writers: The writer of each image that ``chosen`` may name.
    """
    lists = list(wrong)
    rates = np.bincount(np.concatenate([np.asarray(each, int) for each in lists]), minlength=len(writers)) / len(lists)
    _, codes = np.unique(writers[chosen], return_inverse=True)
    sums = np.bincount(codes, weights=rates[chosen] - rates[chosen].mean())
    groups = len(sums)
    return float(100.0**2 * groups / (groups - 1) * np.sum(sums**2) / len(chosen) ** 2)


def print_tables(lines: Sequence[Mapping[str, Any]]) -> None:
    """Prints the errors by configuration and the mean gaps by split, with 95 % intervals over writers."""
    splits = sorted({(line["split"], line["split_seed"]) for line in lines})
    by_config: dict[tuple[Any, ...], dict[tuple[str, int], Mapping[str, Any]]] = {}
    for line in lines:
        key = (line["space"], line["epochs"], config_key(line["config"]), line["seed"])
        by_config.setdefault(key, {})[line["split"], line["split_seed"]] = line
    heads = [f"{split} {seed}: val., test, gap" for split, seed in splits]
    rows = []
    for (space, epochs, _, seed), each in by_config.items():
        cells = []
        for split in splits:
            validation, test = error_percents(each[split]) if split in each else (np.nan, np.nan)
            cells.append(f"{validation:.2f}, {test:.2f}, {test - validation:+.2f}")
        rows.append([space, next(iter(each.values()))["name"], epochs, seed, *cells])
    table(["space", "configuration", "epochs", "seed", *heads], rows)
    complete = [each for each in by_config.values() if len(each) == len(splits)]
    if not complete:
        return
    print(f"\nMean over the {len(complete)} with all splits:\n")
    writers, info, summary = read_mnist_writers(), prepare("mnist"), []
    for split, seed in splits:
        chosen = [each[split, seed] for each in complete]
        errors = np.array([error_percents(line) for line in chosen])
        validation = make_split_indices(open_training(info), split=Split(split), seed=seed).validation
        variance = writer_variance(
            [line["wrong_validation"] for line in chosen], validation, writers["groups_train"]
        ) + writer_variance([line["wrong_test"] for line in chosen], np.arange(info.test_count), writers["groups_test"])
        gaps, half = errors[:, 1] - errors[:, 0], NORMAL_95 * variance**0.5
        ranks = errors.argsort(axis=0).argsort(axis=0)
        rho = np.corrcoef(ranks.T)[0, 1] if len(errors) > 2 else np.nan
        mean = f"{gaps.mean():+.3f} ({gaps.mean() - half:+.3f} to {gaps.mean() + half:+.3f})"
        summary.append([split, seed, *errors.mean(axis=0), mean, np.abs(gaps).mean(), gaps.std(), rho])
    table(["split", "split seed", "val.", "test", "gap, 95 %", "|gap|", "s.d. of gaps", "rank correlation"], summary)


def main() -> None:
    """Trains what is not recorded yet, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mlp", help="name of a shipped space")
    parser.add_argument("--count", type=int, default=10, help="configurations, the best first; 0 trains none")
    parser.add_argument("--splits", nargs="+", type=Split, default=[Split.BLOCK, Split.GROUP])
    parser.add_argument("--split-seeds", nargs="+", type=int, default=[0], help="block ignores all but the first")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="a file that ends in .jsonl")
    options = parser.parse_args()
    drop_incomplete_line(options.out)
    configurations = list(published_configurations(options.space).items())[: options.count]
    trainers: dict[tuple[Split, int], SplitTrainer] = {}
    for seed in options.seeds:
        for name, config in configurations:
            for split in options.splits:
                for split_seed in options.split_seeds[:1] if split is Split.BLOCK else options.split_seeds:
                    entry: dict[str, Any] = {
                        "space": options.space,
                        "name": name,
                        "epochs": options.epochs,
                        "split": split.value,
                        "split_seed": split_seed,
                        "seed": seed,
                        "config": dict(config),
                    }
                    if key_of(entry) in {key_of(line) for line in read_lines(options.out)}:
                        continue
                    if (split, split_seed) not in trainers:
                        trainers[split, split_seed] = split_trainer(
                            options.space, split, split_seed=split_seed, epochs=options.epochs, threads=options.threads
                        )
                    trainer = trainers[split, split_seed]
                    counts = {
                        "validation_images": len(trainer.validation),
                        "test_images": len(trainer.labels) - len(trainer.validation),
                    }
                    line = {**entry, **counts, **trainer.train(config, seed)}
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                    validation, test = error_percents(line)
                    print(
                        f"{options.space} {name}, {split} {split_seed}, seed {seed}: validation {validation:.2f} %, "
                        f"test {test:.2f} %, {line['cpu_seconds']:.0f} s",
                        flush=True,
                    )
    print_tables(read_lines(options.out))


if __name__ == "__main__":
    main()
