"""Every option of a run, once: its name, default, meaning and how it is read from text.

The command line, a TOML file and the Python API all take these same names. Knows nothing of what is done with them.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import UserError, unknown_name

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def _option(default: Any, doc: str, **more: Any) -> Any:  # noqa: ANN401 - dataclasses' own signature
    metadata = {"doc": doc, **more}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of a run; each field's metadata documents it."""

    space: str = _option("cnn", "Search space: mlp, cnn, cnn-large, or the path of your own file.")
    dataset: str = _option("mnist", "mnist (embedded), fashion_mnist, cifar10, an .npz file, or a folder of IDX files.")
    study: str | None = _option(None, "Name of the study; made from data set, space and sampler when not given.")
    trials: int | None = _option(None, "Search trials in all; run again to finish them, or with more to go on.")
    timeout: float | None = _option(
        None,
        "Time in all, verification included, such as 20m. 15m when neither this nor --trials is given.",
        kind="duration",
    )
    total_epochs: int | None = _option(
        None, "Epochs of all search trials together; a budget that is the same for every engine."
    )
    engine: str = _option(
        "optuna", "Who proposes configurations: optuna or keras-tuner, and how, as in keras-tuner:hyperband."
    )
    sampler: str | None = _option(
        None,
        "The same apart. optuna: tpe (default), gp, cmaes, random, qmc, grid, nsga2; "
        "keras-tuner: bayesian (default), hyperband, random, grid.",
    )
    pruner: str | None = _option(
        None, "Which trials end early. optuna: asha (default), median, hyperband, wilcoxon, none; keras-tuner: none."
    )
    epochs: int = _option(10, "Epochs of a full trial.")
    fix: Mapping[str, Any] = _option({}, "Fix a parameter: --fix batch_size=200. Repeatable.", kind="pairs")
    range: Mapping[str, Any] = _option(
        {}, "Narrow a parameter: --range filters_1=16:48, or pooling=max,average. Repeatable.", kind="pairs"
    )
    recipes: bool = _option(True, "Try the space's known-good recipes after the baseline.")
    seed: int | None = _option(None, "Seed of everything random; drawn, shown and recorded when not given.")
    protocol: str = _option("holdout", "holdout, or tutorial, in which the test images steer the search.")
    split: str | None = _option(None, "Validation images: group, block or stratified; chosen by data set by default.")
    split_seed: int = _option(0, "Seed of that draw.")
    finalists: int = _option(1, "Best configurations to verify on the test images, beside the baseline; 0 for none.")
    replicates: int = _option(3, "Fresh seeds each of them is retrained with.")
    workers: int | None = _option(
        None, "Trials at a time. With --threads alone, as many as there are cores for; with neither, measured."
    )
    threads: int | None = _option(
        None, "Threads of each worker. With --workers alone, its share of the cores; with neither, measured."
    )
    ordered: bool = _option(False, "Propose the same trials at every run also with several workers; slower.")
    backend: str = _option("tensorflow", "Keras backend: tensorflow, jax or torch.")
    devices: str = _option("auto", "auto, cpu, gpu, or GPUs by number, such as gpu:0,1; each worker uses one.")
    deterministic: bool | None = _option(None, "The same bits at every run; on by default on a CPU, slow on a GPU.")
    storage: str | None = _option(None, "An Optuna storage URL instead of a journal file in the study's folder.")
    studies_dir: str = _option("studies", "Folder of the studies' records.")
    reports_dir: str = _option("reports", "Folder of the reports.")
    cache_dir: str | None = _option(None, "Folder of decompressed data; the platform's cache folder by default.")

    def __post_init__(self) -> None:
        for name in ("epochs", "replicates", "workers", "threads"):
            _at_least(name, getattr(self, name), 1)
        for name in ("trials", "total_epochs", "timeout", "finalists", "seed", "split_seed"):
            _at_least(name, getattr(self, name), 0)
        if self.study is not None and not NAME.fullmatch(self.study):
            raise UserError(
                f"A study's name is made of letters, digits, '.', '_' and '-'. Received: --study {self.study!r}."
            )


def _at_least(name: str, value: float | None, least: int) -> None:
    if value is not None and value < least:
        option = name.replace("_", "-")
        raise UserError(f"--{option} must be at least {least}. Received: --{option} {value:g}.")


def parse_duration(text: str) -> float:
    """Returns the seconds in a text such as ``90``, ``90s``, ``20m`` or ``1h30m``.

    Raises:
        UserError: It is of another form.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise UserError(f"A duration is such as 90s, 20m or 1h30m. Received: {text!r}.")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """Splits ``name=value``.

    Raises:
        UserError: There is no equals sign, or nothing before it.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise UserError(f"--{option} takes name=value. Received: {text!r}.")
    return name.strip().replace("-", "_"), value.strip()


def from_mapping(options: Mapping[str, Any]) -> Settings:
    """Returns settings from names and values, as a notebook or a file gives them.

    Raises:
        UserError: An unknown name (the nearest right one is named), or a value of the wrong type.
    """
    fields = {known.name: known for known in dataclasses.fields(Settings)}
    read: dict[str, Any] = {}
    for given, value in options.items():
        name = given.replace("-", "_")
        if name not in fields:
            raise unknown_name("option", given, fields)
        read[name] = _read(fields[name], value)
    return Settings(**read)


def from_file(path: Path) -> dict[str, Any]:
    """Returns the options in a TOML file, by name, unread.

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


def _read(known: dataclasses.Field[Any], value: Any) -> Any:  # noqa: ANN401 - any option's value
    kind = known.metadata.get("kind", str(known.type).replace(" | None", ""))
    if value is None and "None" in str(known.type):
        return None
    if kind == "duration" and isinstance(value, str):
        return parse_duration(value)
    if kind == "pairs" and isinstance(value, Mapping):
        return {str(name).replace("-", "_"): item for name, item in value.items()}
    expected: Mapping[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "bool": (bool,),
        "duration": (int, float),
        "pairs": (Mapping,),
    }
    if isinstance(value, Path) and kind == "str":
        return str(value)
    if not isinstance(value, expected[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise UserError(f"Option {known.name!r} takes {kind}. Received: {value!r}.")
    return value
