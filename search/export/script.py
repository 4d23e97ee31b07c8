"""Exports a row as one Python script like the tutorial's: load, build, compile, fit, evaluate. Needs Keras and NumPy.

The template holds what all configurations share. The network, the optimizer and the loss are generated from what Keras
built for this configuration. The script of a model that Keras Tuner's builder compiles holds the builder, and needs
Keras Tuner too.
"""

from __future__ import annotations

from dataclasses import asdict

from jinja2 import Environment, PackageLoader, StrictUndefined

from search.data.dataset import DatasetInfo, open_training
from search.data.mnist import MNIST_SHA256
from search.export.script_parts import HypermodelParts, ScriptParts, make_script_parts
from search.export.target import ExportTarget, error_sentence, seed_error_sentence, title
from search.leaderboard import formatting
from search.protocol import ClassWeight
from search.records.arithmetic import Kernels
from search.reproduction.restore import (
    restore_dataset,
    restore_kernels,
    restore_precision,
    restore_space_source,
    trial_environment,
)
from search.training.runtime import ONEDNN_SWITCH, ONEDNN_VARIABLE
from spaces.training import AUGMENTATION_PARAMETERS, complete


def render_script(target: ExportTarget, file: str) -> str:
    """Returns the script.

    Args:
        target: The row to export.
        file: Name of the script, for its usage line.

    Raises:
        UserError: The data set or the space is missing, or the network holds something that is not Keras's own.
    """
    header, config = target.record.header, target.row.config
    space = restore_space_source(header, config, target.reproduction_options)
    dataset = restore_dataset(header, target.reproduction_options)
    environment = trial_environment(target.record, target.trial_record)
    precision = restore_precision(environment, target.reproduction_options)
    epochs = target.row.schedule_epochs
    parts = make_script_parts(space, config, epochs=epochs, dataset=dataset, precision=precision)
    return fill_template(target, dataset, parts, file, restore_kernels(environment, target.reproduction_options))


def usage(target: ExportTarget, file: str) -> str:
    """Returns how the script is run, as a sentence.

    Args:
        target: The row to export.
        file: Path of the script.
    """
    if _loader(restore_dataset(target.record.header, target.reproduction_options)):
        return f"Run it with: python {file}"
    return f"Run it with: python {file} DATA.npz, which this writes: python -m search data convert DATASET DATA.npz"


def fill_template(
    target: ExportTarget,
    dataset: DatasetInfo,
    parts: ScriptParts | HypermodelParts,
    file: str,
    kernels: Kernels | None = None,
) -> str:
    """Returns the script from its parts; names given by a user stay text.

    Args:
        target: The row to export.
        dataset: The data set.
        parts: The generated code.
        file: Name of the script, for its usage line.
        kernels: TensorFlow's kernels of the recorded run; None to leave them to TensorFlow.
    """
    config, epochs = complete(target.row.config), target.row.schedule_epochs
    augmentation = {name: config[name] for name in AUGMENTATION_PARAMETERS}
    jinja_environment = Environment(
        loader=PackageLoader("search.export"), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    template = "script.py.jinja" if isinstance(parts, ScriptParts) else "hypermodel_script.py.jinja"
    values = {
        "title": _quoted(title(target)),
        "figures": _quoted(f"{error_sentence(target)} {seed_error_sentence(target)}".rstrip()),
        "file": _quoted(file),
        "loader": _loader(dataset),
        "seed": target.seed,
        "epochs": epochs,
        "batch_size": config["batch_size"],
        "augmentation": augmentation if any(augmentation.values()) else {},
        # A short trial's are a part of an epoch; the script has whole ones.
        "clean_epochs": round(config["clean_epochs"] * epochs / target.record.header.protocol.epochs),
        "shape": dataset.image_shape,
        "dtype": open_training(dataset).images.dtype.name,
        "classes": dataset.classes,
        "steps": -(-dataset.training_count // config["batch_size"]) * epochs,
        "is_weighted": target.record.header.protocol.class_weight is ClassWeight.BALANCED,
        "has_schedule": config["schedule"] != "constant",
        "kernels_variable": ONEDNN_VARIABLE,
        "kernels_switch": ONEDNN_SWITCH[kernels] if kernels else "",
    }
    return jinja_environment.get_template(template).render({**values, **asdict(parts)})


def _loader(dataset: DatasetInfo) -> str:
    """Returns the module that downloads the data set, or "" for a user's own."""
    return "keras.datasets.mnist" if dataset.sha256 == MNIST_SHA256 else dataset.loader


def _quoted(text: str) -> str:
    """Returns a text that can stand in the script's docstring without ending it or a line."""
    return formatting.one_line(text).replace("\\", "/").replace('"', "'")
