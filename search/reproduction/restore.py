"""Restores data set, space and runtime of a recorded trial, so that it can be trained here.

Another data set or space is refused; another machine is for the caller to report. Called by
``search.reproduction.reproduce`` and ``search.export``.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from search.data.dataset import DatasetInfo, find_prepared, prepare
from search.data.read_options import ReadOptions, make_read_options, parse_share
from search.errors import UserError, missing_extra, unknown_name
from search.protocol import Split
from search.records.arithmetic import Kernels, Layers, recorded_kernels, recorded_layers
from search.records.record import LEGACY_DEFAULTS, StudyHeader, StudyRecord, TrialRecord
from search.training import devices
from search.training.runtime import Backend, Device, Precision, Runtime, is_tensorflow_on_cpu
from search.training.task import Task
from search.trial import DETERMINISTIC_KEY, THREADS_KEY, Config
from spaces import registry
from spaces.restrict import widest_space


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproductionOptions:
    """Settings of this machine that replace recorded ones; None keeps the recorded setting.

    Args:
        dataset: Name or path of the data set.
        space: Path of the space's file.
        cache_dir: Folder of decompressed data; None for the platform's.
        backend: Keras's backend.
        devices: Devices to compute on.
        precision: Precision to compute in.
        kernels: TensorFlow's kernels on a CPU.
        layers: Implementation of layers on a CPU.
        threads: Number of threads.
    """

    dataset: str | None = None
    space: str | None = None
    cache_dir: str | None = None
    backend: str | None = None
    devices: str | None = None
    precision: str | None = None
    kernels: str | None = None
    layers: str | None = None
    threads: int | None = None


def restore_task(record: StudyRecord, trial_record: TrialRecord, options: ReproductionOptions) -> Task:
    """Returns the task with which a recorded trial can be run again.

    Args:
        record: The study.
        trial_record: The trial, for its environment.
        options: Settings of this machine.

    Raises:
        UserError: The data set or the space is missing or has changed, or the backend is not installed.
    """
    source = restore_space_source(record.header, trial_record.trial.config, options)
    return Task(
        protocol=record.header.protocol,
        dataset=restore_dataset(record.header, options),
        space_source=source,
        runtime=restore_runtime(trial_environment(record, trial_record), options),
    )


def trial_environment(record: StudyRecord, trial_record: TrialRecord) -> Mapping[str, Any]:
    """Returns the environment of a trial; that of the study's last trial if the trial has none."""
    environments = [other.environment for other in record.trials if other.environment]
    return trial_record.environment or (environments[-1] if environments else {})


def restore_dataset(header: StudyHeader, options: ReproductionOptions) -> DatasetInfo:
    """Returns the study's data set, prepared, from the options, or else from the study's command or the cache.

    Raises:
        UserError: It is missing, or its data differ.
    """
    protocol, source = header.protocol, options.dataset or recorded_dataset(header)
    cache_dir = Path(options.cache_dir) if options.cache_dir else None
    hint = "Say where it is with --dataset PATH."
    dataset: DatasetInfo | None = None
    refusal: UserError | None = None
    # As recorded, or as it is: the file may be what the data set was converted to.
    for read_options in dict.fromkeys((recorded_read_options(header), ReadOptions())):
        try:
            dataset = prepare(source, cache_dir, read_options)
        except UserError as error:
            refusal = refusal or error
            continue
        if dataset.sha256 == protocol.data_sha256:
            return dataset
    needs_groups = protocol.split is Split.GROUP
    if options.dataset is None and (found := find_prepared(protocol.data_sha256, cache_dir, has_groups=needs_groups)):
        return found  # its file was moved, or is named from another folder
    if dataset is None:
        assert refusal is not None
        message = f"The data set of study {header.name!r}, {protocol.dataset}, cannot be had. {refusal.message}"
        raise UserError(message, hint=hint) from refusal
    raise UserError(
        f"The data are not those of study {header.name!r}. Expected: sha256={protocol.data_sha256}. "
        f"Received: {dataset.sha256}, dataset={source!r}.",
        hint=hint,
    )


def recorded_dataset(header: StudyHeader) -> str:
    """Returns the data set as named in the study's command, or else the protocol's name of it."""
    return _recorded_option(header, "--dataset") or header.protocol.dataset


def recorded_read_options(header: StudyHeader) -> ReadOptions:
    """Returns how the data were read, by the study's command."""
    share, channels = _recorded_option(header, "--test-share"), _recorded_option(header, "--channels")
    return make_read_options(
        image_size=_recorded_option(header, "--image-size"),
        test_share=None if share is None else parse_share(share),
        transpose="--transpose" in _recorded_words(header),
        channels=None if channels is None else int(channels),
    )


def _recorded_option(header: StudyHeader, option: str) -> str | None:
    """Returns the value of an option in the study's command, or None."""
    words = _recorded_words(header)
    values = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    values += [after for word, after in pairwise(words) if word == option]
    return values[-1] if values else None


def _recorded_words(header: StudyHeader) -> list[str]:
    try:
        return shlex.split(header.command)
    except ValueError:
        return []


def restore_space_source(header: StudyHeader, config: Config, options: ReproductionOptions) -> str:
    """Returns the source of the study's space, in which the configuration is valid.

    Raises:
        UserError: Its file is missing or invalid, or the space or the file of its model builder has changed.
    """
    source = options.space or header.space_source
    try:
        space, builder_sha256 = widest_space(registry.load(source)), registry.builder_sha256(source)
    except registry.SpaceError as error:
        hint = "Say where its file is with --space PATH; it builds the networks."
        raise UserError(f"The space of study {header.name!r} cannot be had. {error}", hint=hint) from None
    missing = [f"{name} is gone" for name in header.space.parameters if name not in space.parameters]
    changes = [*missing, *space.problems(config)]
    if header.builder_sha256 not in ("", builder_sha256):  # older versions recorded none
        received = builder_sha256 or "a builder of this package"
        changes.append(f"its model builder is of another file (recorded {header.builder_sha256}, received {received})")
    if changes:
        raise UserError(
            f"The space {header.space.name!r} has changed since study {header.name!r}: {'; '.join(changes)}. "
            f"Received: {source}.",
            hint="Put back the version that the study was run with, or say where it is with --space PATH.",
        )
    return source if source in registry.SPACES else str(Path(source).resolve())


def restore_runtime(recorded: Mapping[str, Any], options: ReproductionOptions) -> Runtime:
    """Returns the recorded runtime, adapted to this machine.

    Raises:
        UserError: The backend is unknown or not installed.
    """
    name = options.backend or recorded.get("backend", Backend.TENSORFLOW.value)
    if name not in list(Backend):
        raise unknown_name("backend", name, [backend.value for backend in Backend])
    backend = Backend(name)
    if importlib.util.find_spec(backend.value) is None:
        raise missing_extra(f"The backend {backend}", backend.value)
    device, gpus = _choose_devices(recorded, options, backend)
    return Runtime(
        backend=backend,
        device=device,
        gpus=gpus,
        threads=options.threads or recorded.get(THREADS_KEY, 1),
        deterministic=recorded.get(DETERMINISTIC_KEY, device is Device.CPU),
        precision=restore_precision(recorded, options),
        kernels=restore_kernels(recorded, options) if is_tensorflow_on_cpu(backend, device) else None,
        layers=restore_layers(recorded, options),
    )


def restore_kernels(recorded: Mapping[str, Any], options: ReproductionOptions) -> Kernels | None:
    """Returns TensorFlow's kernels of the options, or else the recorded ones; None if those are not known reliably.

    Args:
        recorded: Environment of a trial.
        options: Settings of this machine.
    """
    return Kernels(options.kernels) if options.kernels else recorded_kernels(recorded)


def restore_layers(recorded: Mapping[str, Any], options: ReproductionOptions) -> Layers:
    """Returns the layers of the options, or else the recorded ones; the default ones if the run could not have any.

    Args:
        recorded: Environment of a trial.
        options: Settings of this machine.
    """
    return Layers(options.layers) if options.layers else recorded_layers(recorded) or Layers.COMPILED


def restore_precision(recorded: Mapping[str, Any], options: ReproductionOptions) -> Precision:
    """Returns the precision of the options, or else the recorded one.

    Args:
        recorded: Environment of a trial.
        options: Settings of this machine.

    Raises:
        UserError: It is unknown.
    """
    name = options.precision or {**LEGACY_DEFAULTS, **recorded}["precision"]
    if name not in list(Precision):
        raise unknown_name("precision", name, [precision.value for precision in Precision])
    return Precision(name)


def _choose_devices(
    recorded: Mapping[str, Any], options: ReproductionOptions, backend: Backend
) -> tuple[Device, tuple[str, ...]]:
    """Returns the devices of the options, or else a GPU if the run had one and this machine has one."""
    if options.devices is not None:
        return devices.select_devices(options.devices, backend)
    was_gpu = recorded.get("device", "CPU") != "CPU"
    return devices.select_devices(Device.AUTO if was_gpu else Device.CPU, backend)
