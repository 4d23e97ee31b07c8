"""Records trainings of a space in full and over fewer epochs, on which ``compare --arena`` then plays engines.

    python benchmarks/record.py --space mlp --images 10000 --count 300 --out mlp.jsonl
    gzip -9n mlp.jsonl
    python -m search compare --arena mlp.jsonl.gz

Each configuration is trained at every number of epochs with the same seed, some with a second seed, too. The
configurations are the baseline, the recipes, mutants of the best recipe (35 %), mutants of the best three so far (35 %,
so that chains of improvements arise), uniform draws (15 %), and mutants of any configuration (15 %). They depend on
``--seed`` and on what is recorded. The same command again continues; a larger ``--count`` adds configurations.
``search.compare.recorded.recordings`` describes the file.

With ``--like`` the configurations are the best of another recording, in its order, and its baseline and recipes. With
``--found-in`` they are the baseline, the recipes, and what searches found and trained in full, by their files
``leaderboard.json`` or by what ``benchmarks/gain.py`` wrote. From recordings of the same configurations on several data
sets ``benchmarks/portfolio.py`` chooses recipes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from search.compare.recorded.mutants import mutant
from search.compare.recorded.recordings import (
    Recording,
    Training,
    append_training,
    read_recording,
    write_header,
)
from search.compare.tabular.store import drop_incomplete_line
from search.data.dataset import open_training, prepare
from search.data.split import default_split, make_split_indices
from search.engines.base import short_epochs
from search.protocol import EvaluationProtocol
from search.training.runtime import Device, Runtime, package_versions
from search.training.task import PhaseImages, Task
from search.training.trainer import Trainer
from search.trial import Config, Phase, Trial, config_key
from spaces import registry
from spaces.space import Space

MAX_CHANGES_OF_RECIPE, MAX_CHANGES_IN_CHAIN = 4, 3
GIVEN = ("baseline", "recipe")
"""Kinds of configurations that every search begins with."""
CHAIN_PARENTS = 3
"""Best configurations from which chains continue."""


class Recorder:
    """Trains on a part of the training images and records.

    Args:
        options: The command line's.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        info = prepare(options.dataset)
        images, split = open_training(info), default_split(info)
        chosen = make_split_indices(images, split=split, seed=0)
        part = chosen.training[: options.images]
        protocol = EvaluationProtocol(dataset=info.name, data_sha256=info.sha256, split=split, epochs=options.epochs)
        runtime = Runtime(device=Device.CPU, threads=1)
        task = Task(protocol=protocol, dataset=info, space_source=options.space, runtime=runtime)
        self.trainer = Trainer(task)
        # The trainer itself takes all training images of a split.
        search_images = PhaseImages(
            images.images[part],
            images.labels[part],
            images.images[chosen.validation],
            images.labels[chosen.validation],
            evaluate_every_epoch=True,
            verified_images=(),
        )
        self.trainer._phases[Phase.SEARCH] = (search_images,)
        self.epochs = options.epochs
        self.header = Recording(
            space=dataclasses.replace(registry.load(options.space), build=None, workload=None),
            dataset=info.name,
            images=len(part),
            search_images=len(chosen.training),
            validation_images=len(chosen.validation),
            epochs=options.epochs,
            image_shape=info.image_shape,
            classes=info.classes,
            made={
                "seed": options.seed,
                "processor": platform.processor() or platform.machine(),
                "versions": package_versions("tensorflow", "keras", "numpy"),
            },
        )

    def train(self, config: Config, epochs: int, seed: int, kind: str) -> Training:
        """Returns one training."""
        trial = Trial(number=0, config=config, seed=seed, epochs=epochs, is_short=epochs < self.epochs)
        cpu_started = time.process_time()
        outcome = self.trainer.run(trial)
        cpu_seconds = time.process_time() - cpu_started
        self.trainer.free_memory()
        curve = [
            [report.metrics.get("error_percent", np.nan), report.metrics.get("calibrated_loss", np.nan), report.loss,
             report.seconds]
            for report in outcome.history
        ]  # fmt: skip
        return Training(
            config=dict(config),
            epochs=epochs,
            seed=seed,
            state=outcome.state,
            curve=np.array(curve, dtype=float).reshape(-1, 4),
            seconds=round(sum(outcome.seconds.values()), 4),
            cpu_seconds=round(cpu_seconds, 4),
            parameters=outcome.parameter_count,
            kind=kind,
        )


def choose(space: Space, done: list[Training], index: int, seed: int) -> tuple[dict[str, Any], str]:
    """Returns the configuration with an index, and how it was chosen.

    Args:
        space: The space.
        done: The full trainings with the first seed, in order.
        index: From 0.
        seed: Of the random choices.
    """
    given = given_configs(space)
    if index < len(given):
        return given[index]
    generator = np.random.default_rng([seed, index])
    ranked = sorted((training for training in done if training.is_complete), key=lambda each: each.curve[-1, 1])
    recipes = [training for training in ranked if training.kind == "recipe"] or ranked
    kind = str(generator.choice(["mutant", "chain", "uniform", "any"], p=[0.35, 0.35, 0.15, 0.15]))
    if kind == "uniform" or not ranked:
        return space.sample(random.Random(int(generator.integers(2**32)))), "uniform"
    parents = {"mutant": recipes[:1], "chain": ranked[:CHAIN_PARENTS], "any": ranked}[kind]
    most = MAX_CHANGES_IN_CHAIN if kind == "chain" else MAX_CHANGES_OF_RECIPE
    parent = parents[generator.integers(len(parents))]
    return mutant(space, parent.config, int(generator.integers(1, most + 1)), generator), kind


def given_configs(space: Space) -> list[tuple[Config, str]]:
    """Returns the baseline and the recipes with their kinds."""
    return [(space.baseline, "baseline"), *((space.recipe(name), "recipe") for name in space.recipes)]


def found_in(paths: Sequence[Path], space: Space) -> list[tuple[Config, str]]:
    """Returns baseline, recipes and, in the files' order, what searches found and trained in full, each once."""
    rows = (row for path in paths for row in _board_rows(path) if row["label"] == "found" and not row["is_short"])
    distinct: dict[str, tuple[Config, str]] = {}
    for config, kind in [*given_configs(space), *((space.baseline_with(row["changes"]), "found") for row in rows)]:
        distinct.setdefault(config_key(config), (config, kind))
    return list(distinct.values())


def _board_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        yield from (json.loads(line)["chosen"] for line in text.splitlines())
    else:
        for section in json.loads(text)["sections"]:
            yield from section["rows"]


def best_of(recording: Recording) -> list[tuple[Config, str]]:
    """Returns the configurations of a recording with their kinds: the given ones first, then by their full losses."""
    ranked = sorted(recording.full_trainings, key=lambda training: (training.kind not in GIVEN, training.curve[-1, 1]))
    return [(training.config, training.kind) for training in ranked]


def main() -> None:
    """Records until the file holds enough configurations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mlp", help="name of a space, or its file")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--images", type=int, default=10_000, help="training images, the first of the split")
    parser.add_argument("--epochs", type=int, default=10, help="of a full training")
    parser.add_argument("--short", type=int, nargs="*", help="epochs of shorter ones; by default 1 and a fifth")
    parser.add_argument("--count", type=int, default=300, help="configurations; 0 writes the first line only")
    parser.add_argument("--second-seed-every", type=int, default=4, help="each so many-th has a second seed, too")
    parser.add_argument("--like", type=Path, help="another recording, whose best configurations are trained")
    parser.add_argument("--found-in", type=Path, nargs="+", help="boards, whose found configurations are trained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a file that ends in .jsonl")
    options = parser.parse_args()
    recorder = Recorder(options)
    drop_incomplete_line(options.out)
    if not options.out.exists():
        write_header(options.out, recorder.header)
    recording = read_recording(options.out)
    unchanged = ("dataset", "images", "validation_images", "epochs")
    for name in unchanged:
        if getattr(recording, name) != getattr(recorder.header, name):
            parser.error(f"{options.out} was recorded with {name}={getattr(recording, name)}; name another file")
    trainings = list(recording.trainings)
    lengths = [*(options.short or sorted({1, short_epochs(options.epochs)})), options.epochs]
    done = {(config_key(training.config), training.epochs, training.seed) for training in trainings}
    taken = best_of(read_recording(options.like)) if options.like else None
    if options.found_in:
        taken = found_in(options.found_in, recording.space)
    for index in range(options.count if taken is None else min(options.count, len(taken))):
        full = [training for training in trainings if training.epochs == options.epochs and training.seed == 1]
        if taken is not None:
            config, kind = taken[index]
        elif index < len(full):
            config, kind = full[index].config, full[index].kind
        else:
            config, kind = choose(recording.space, full, index, options.seed)
        for seed in (1, 2) if index % options.second_seed_every == 0 else (1,):
            for epochs in lengths:
                if (key := (config_key(config), epochs, seed)) not in done:
                    training = recorder.train(config, epochs, seed, kind)
                    append_training(options.out, training)
                    trainings.append(training)
                    done.add(key)
        error = next(t.curve[-1, 0] for t in reversed(trainings) if t.config == config) if trainings else float("nan")
        print(f"{index + 1} of {options.count} {kind}: {error:.2f} %", flush=True)


if __name__ == "__main__":
    main()
