"""Settings: the options of a run, with their defaults, help texts and parsers.

The command line, a TOML file and the Python API take the same names.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from search.data.read_options import ReadOptions, make_read_options
from search.engines.registry import ENGINES, describe_names
from search.errors import UserError, unknown_name
from search.leaderboard.statistics import EQUIVALENCE_POINTS
from search.protocol import ClassWeight, Objective
from search.session.option_kinds import KINDS
from search.study import stopping
from spaces.registry import SPACES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
AUTO = "auto"
"""Leaves kernels or layers to the environment, the record, a measurement or the default."""
BACKEND_VARIABLE = "KERAS_BACKEND"
"""Keras's own environment variable."""
DEFAULT_REPLICATES = 3
"""Fresh seeds of verification."""
MIN_MEMORY_MIB = 1024.0
"""Least memory of a trial's worker; Keras and TensorFlow alone take most of it."""


class ExecutorName(StrEnum):
    """Where trials run; ``search.session.executors`` makes the executor of each."""

    LOCAL = "local"
    RAY = "ray"
    VECTORIZED = "vectorized"


def _option(default: Any, doc: str, **more: Any) -> Any:
    metadata = {"doc": doc, **more}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of a run; each field's metadata documents it."""

    space: str = _option("cnn", f"Search space: {', '.join(SPACES)}, or the path of a space file.", kind="path")
    dataset: str = _option(
        "mnist",
        "mnist (embedded), fashion_mnist, cifar10, or a path: a file, or a folder of images by class.",
    )
    image_size: str | None = _option(
        None,
        "Resize all images, to 64 or to 48x64 (height x width).  [default: their own size, or the median of several]",
    )
    test_share: float | None = _option(
        None,
        "Share of the images to hold out for testing, such as 0.15, if the data have no test images.  [default: 0.15]",
        kind="share",
    )
    transpose: bool = _option(False, "Exchange rows and columns of all images, such as EMNIST's.")
    channels: int | None = _option(None, "1 for grey or 3 for color images.  [default: as they are]")
    study: str | None = _option(None, "Name of the study.  [default: made from data set, space, changes and sampler]")
    trials: int | None = _option(None, "Total number of search trials, those of earlier runs included.")
    timeout: float | None = _option(
        None,
        "Total time, verification included, such as 20m.  [default: 15m if --trials and --total-epochs are not given]",
        kind="duration",
    )
    total_epochs: int | None = _option(
        None,
        "Total epochs of all search trials, those of each fold counted; a budget that is comparable between engines.",
    )
    trial_timeout: float | None = _option(
        None,
        "Time limit of a search trial, such as 5m, building and compiling included; a slower trial fails.",
        kind="duration",
    )
    trial_memory: float | None = _option(
        None,
        "Memory limit of a trial's worker process, such as 4GiB; a trial that takes more is killed and fails.",
        kind="size",
    )
    max_parameters: int | None = _option(
        None,
        "Most trainable parameters of a network, such as 60k or 1.5m; nothing larger is trained, but for the baseline.",
        kind="count",
    )
    max_seconds: float | None = _option(
        None,
        "Most seconds of a full trial, as predicted, such as 30s or 2m; a slower configuration is not proposed.",
        kind="duration",
    )
    stop_when: tuple[str, ...] = _option(
        (),
        "Goal at which the search ends and verification begins: error<0.6 (best validation error in percent) or "
        "plateau:20 (no improvement in the last 20 trials). Repeatable, or separated by commas.",
        kind="goals",
    )
    engine: str = _option(
        "optuna",
        f"Engine that proposes configurations: {' or '.join(ENGINES)}; with its sampler, such as "
        "keras-tuner:hyperband.",
    )
    sampler: str | None = _option(None, f"The engine's sampler. {describe_names('samplers')}.")
    pruner: str | None = _option(None, f"Rule that ends trials early. {describe_names('pruners')}.")
    epochs: int = _option(10, "Epochs of a full trial.")
    fix: Mapping[str, Any] = _option({}, "Fix a parameter: --fix batch_size=200. Repeatable.", kind="pairs")
    range: Mapping[str, Any] = _option(
        {},
        "Change what a parameter is searched over: --range filters_1=16:48, batch_size=32,64,128, or "
        "optimizer=sgd,rmsprop. Repeatable.",
        kind="pairs",
    )
    tune: tuple[str, ...] = _option(
        (),
        "Parameters that alone are varied, such as learning_rate,batch_size; all others stay at the baseline, or at "
        "--at.",
        kind="names",
    )
    at: str | None = _option(
        None,
        "Configuration that is the baseline: 'recipe: NAME', or winner, the best of the study of --from.  [default: "
        "the space's]",
    )
    recipes: bool = _option(True, "Try the space's known-good recipes after the baseline.")
    from_: tuple[str, ...] = _option(
        (),
        "Earlier study, on this or other data, whose best configurations start the search before the space's recipes: "
        "a name, a folder or a study.json.gz. Repeatable, or separated by commas.",
        kind="studies",
    )
    seed: int | None = _option(None, "Seed of all randomness.  [default: drawn, shown and recorded]")
    protocol: str = _option("holdout", "holdout, or tutorial, which searches on the test images.")
    split: str | None = _option(
        None, "How validation images are drawn: given, group, block or stratified.  [default: by data set]"
    )
    split_seed: int = _option(0, "Seed of that draw.")
    folds: int | None = _option(
        None,
        "K-fold cross-validation: a search trial trains K networks, each validated on another part of the training "
        "images; for small data sets.  [default: one network, validated on a sixth]",
    )
    class_weight: str = _option(
        ClassWeight.NONE.value,
        "Weights of the classes in the training loss: none, or balanced, by which each class counts as much as any "
        "other.",
    )
    objective: str = _option(
        Objective.ERROR.value,
        "What the search minimizes and chooses its winner by, on the validation images: error, balanced-error (a mean "
        "over the classes) or log-loss.",
    )
    finalists: int = _option(
        1, "Number of best configurations to verify on the test images, besides the baseline; 0 skips verification."
    )
    replicates: int | None = _option(
        None,
        "Number of fresh seeds with which each of them and the best recipe are retrained.  [default: 3; with --timeout "
        "as many as its time allows]",
    )
    equivalence: float = _option(
        EQUIVALENCE_POINTS,
        "Differences of test errors up to so many percentage points make no difference in practice.",
        kind="number",
    )
    keep_weights: int = _option(
        20, "Number of stopped trials whose weights are kept to continue from; other trials start over."
    )
    workers: int | None = _option(
        None,
        "Number of concurrent trials.  [default: as many as the cores allow with --threads, else measured]",
    )
    threads: int | None = _option(
        None, "Threads of each worker.  [default: its share of the cores with --workers, else measured]"
    )
    ordered: bool = _option(False, "Propose the same trials in every run, also with several workers; slower.")
    executor: str = _option(
        "local",
        "Where trials run: local, in worker processes on this machine; ray, on a Ray cluster; vectorized, many as one "
        "JAX program.",
    )
    address: str | None = _option(
        None, "Ray cluster: auto, HOST:PORT or ray://HOST:PORT.  [default: a Ray started here for this run]"
    )
    checkpoint_dir: str | None = _option(
        None,
        "Folder or URL (s3://...) for the states of unfinished trials, reachable by every worker.  [default: the "
        "study's folder; none with --address]",
        kind="path",
    )
    backend: str | None = _option(
        None,
        "Keras backend: tensorflow, jax or torch; the vectorized executor needs jax.  [default: KERAS_BACKEND, else "
        "tensorflow]",
    )
    devices: str = _option("auto", "auto, cpu, gpu, or GPUs by number, such as gpu:0,1; each worker uses one.")
    deterministic: bool | None = _option(
        None, "Compute the same bits in every run.  [default: on a CPU; slow on a GPU]"
    )
    precision: str = _option(
        "tf32",
        "Precision of matrix products and convolutions: float32, bfloat16, or tf32 on GPUs that support it, else "
        "float32.",
    )
    kernels: str = _option(
        AUTO,
        "TensorFlow's kernels on a CPU: onednn, eigen (TensorFlow's own), or auto: TF_ENABLE_ONEDNN_OPTS if it is set, "
        "else the study's, else the faster.",
    )
    layers: str = _option(
        AUTO,
        "Layers with TensorFlow on a CPU: compiled, fast (the same without a compiled GELU), keras (Keras's own; "
        "exported scripts repeat them to the bit), or auto: the study's, else compiled.",
    )
    storage: str | None = _option(
        None,
        "Optuna storage URL, instead of a journal file in the study's folder. Several coordinators may share a study "
        "on a server, such as postgresql+psycopg://user@host/database.",
        envvar="KERAS_IMAGE_SEARCH_STORAGE",
    )
    studies_dir: str = _option("studies", "Folder of the studies' records.", kind="path")
    reports_dir: str = _option("reports", "Folder of the reports.", kind="path")
    tensorboard: str | None = _option(
        None, "Folder for TensorBoard logs: each trial's curves, and HParams.  [default: none]", kind="path"
    )
    mlflow: str | None = _option(
        None,
        "MLflow tracking URI, such as sqlite:///mlflow.db or http://localhost:5000; a run for the study holds one for "
        "each trial.  [default: none]",
    )
    cache_dir: str | None = _option(
        None, "Folder of decompressed data.  [default: the platform's cache folder]", kind="path"
    )

    @property
    def read_options(self) -> ReadOptions:
        """How the data set is read."""
        return make_read_options(
            image_size=self.image_size, test_share=self.test_share, transpose=self.transpose, channels=self.channels
        )

    @property
    def usual_replicates(self) -> int:
        """The option, or the default without a time limit."""
        return self.replicates or DEFAULT_REPLICATES

    @property
    def keras_backend(self) -> str:
        """The backend option, or what the executor needs, or Keras's environment variable, or TensorFlow."""
        if self.backend is None and self.executor == ExecutorName.VECTORIZED:
            return "jax"
        return self.backend or os.environ.get(BACKEND_VARIABLE) or "tensorflow"

    def __post_init__(self) -> None:
        _ = self.read_options  # checks their ranges
        for name in ("epochs", "replicates", "workers", "threads"):
            _check_minimum(name, getattr(self, name), 1)
        for name in ("trials", "total_epochs", "timeout", "finalists", "keep_weights", "seed", "split_seed"):
            _check_minimum(name, getattr(self, name), 0)
        for name in ("seed", "split_seed"):
            if (value := getattr(self, name)) is not None and value > MAX_SEED:
                raise UserError(f"{flag(name)} must be at most {MAX_SEED}. Received: {flag(name)} {value}.")
        _check_minimum("max_parameters", self.max_parameters, 1)
        _check_minimum("folds", self.folds, 2)
        _check_minimum("equivalence", self.equivalence, 0)
        _check_minimum("trial_timeout", self.trial_timeout, 1)
        _check_minimum("max_seconds", self.max_seconds, 1)
        if self.trial_memory is not None and self.trial_memory < MIN_MEMORY_MIB:
            raise UserError(
                f"--trial-memory must be at least 1GiB, most of which Keras itself takes. "
                f"Received: --trial-memory {self.trial_memory:g}MiB."
            )
        for text in self.stop_when:
            stopping.parse(text)
        if self.study is not None and not NAME.fullmatch(self.study):
            raise UserError(
                f"A study's name is made of letters, digits, '.', '_' and '-'. Received: --study {self.study!r}."
            )


MAX_SEED = 2**63 - 1
"""Largest seed: databases and JSON readers take no larger integers."""

ABSENT: Mapping[str, str] = {
    "early_stopping": "A trial has no early stopping, since its learning-rate schedule runs over all of its epochs. "
    "Set these with --epochs; --pruner asha ends trials that fall behind.",
}
"""Options of other tools that people expect, and what is here in their place."""


def unknown_option(name: str, choices: Iterable[str], *, kind: str = "option") -> UserError:
    """Returns the error for an option that does not exist, as it was written, with the nearest one or a reason."""
    reason = ABSENT.get(name.strip("-").replace("-", "_"))
    return unknown_name(kind, name, choices) if reason is None else UserError(f"{reason} Received: {name}.")


def _check_minimum(name: str, value: float | None, minimum: int) -> None:
    if value is not None and not (value >= minimum and math.isfinite(value)):
        raise UserError(f"{flag(name)} must be at least {minimum}. Received: {flag(name)} {value:g}.")


def flag(name: str) -> str:
    """Returns the command-line flag of an option: "--trial-timeout" for "trial_timeout", "--from" for "from_"."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def to_study_name(text: str) -> str:
    """Returns a text as a name for a study or its folder, with "-" for each character that a name cannot have."""
    return "".join(letter if NAME.fullmatch(f"a{letter}") else "-" for letter in text).lstrip("._-") or "study"


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """Splits ``name=value``.

    Raises:
        UserError: There is no equals sign, or nothing before or after it.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise UserError(f"--{option} takes name=value. Received: {text!r}.")
    return name.strip().replace("-", "_"), value.strip()


def from_mapping(options: Mapping[str, Any]) -> Settings:
    """Returns settings from the names and values of a notebook or a file.

    Raises:
        UserError: A name is unknown, or a value has the wrong type or is out of range.
    """
    fields = {setting.name: setting for setting in dataclasses.fields(Settings)}
    parsed: dict[str, Any] = {}
    for option, value in options.items():
        name = option.replace("-", "_")
        name = name if name in fields else f"{name}_"  # "from" is a word of Python
        if name not in fields:
            error = unknown_option(option, fields)
            table = "A parameter of the space stands in the table [fix] of the file, or after --fix."
            raise UserError(error.message, hint=f"{error.hint} {table}".strip())
        parsed[name] = _parse_value(fields[name], value)
    return Settings(**parsed)


def from_file(path: Path) -> dict[str, Any]:
    """Returns the options in a TOML file by name, unparsed.

    Raises:
        UserError: The file cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UserError(f"The file cannot be read. Received: --config {path} ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The file is not TOML. Received: --config {path} ({error}).") from error


def _parse_value(setting: dataclasses.Field[Any], value: Any) -> Any:
    kind = setting.metadata.get("kind", str(setting.type).replace(" | None", ""))
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # a seed that NumPy drew
    if value is None and "None" in str(setting.type):
        return None
    if isinstance(value, Path) and kind in ("str", "path"):
        value = str(value)
    expected, description, parse = KINDS[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
        raise UserError(f"Option {setting.name!r} takes {description}. Received: {value!r}.")
    try:
        return parse(value)
    except UserError as error:
        raise UserError(f"{flag(setting.name)}: {error.message}", hint=error.hint) from None
