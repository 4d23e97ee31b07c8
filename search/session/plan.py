"""From settings to a plan: everything that can be wrong with the input is found here, before anything is written."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from search import seeds
from search.data.dataset import DatasetInfo, open_training, prepare
from search.data.split import default_split, make_split_indices
from search.engines.base import Engine
from search.engines.registry import ENGINES, EngineChoice, make_engine, parse_engine
from search.errors import UserError, missing_extra, unknown_name
from search.execution.vectorized import PROBE_POPULATION_SIZE
from search.protocol import EvaluationProtocol, ProtocolName, Split
from search.records import redact
from search.records.reader import StudyNotStartedError, read_study
from search.records.record import StudyHeader, utc_now
from search.records.storage.locations import StudyLocation
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.settings import VECTORIZED, Settings, to_study_name
from search.training import devices, storage_paths
from search.training.runtime import (
    Backend,
    Device,
    Precision,
    Runtime,
    memory_worker_limit,
    package_versions,
    usable_cores,
)
from search.training.task import Task
from spaces import registry
from spaces.registry import SpaceError
from spaces.restrict import restrict
from spaces.space import Space

DEFAULT_SECONDS = 15 * 60.0
"""Time budget when none is given, verification included: what a reader waits for over a coffee."""
NO_ENGINE = "none"
"""Engine of a study that proposes nothing: the baseline's repeats."""
MAX_POPULATION: Mapping[Device, int] = {Device.CPU: 8, Device.GPU: 64}
"""Most trials that are trained together on a device where nothing else is asked for, however many its memory holds: a
few keep a CPU's cores busy, and a sampler proposes all of them before it has heard of one."""
E = TypeVar("E", bound=StrEnum)


class ExecutorName(StrEnum):
    """Where trials run; ``search.session.executors`` makes the executor of each."""

    LOCAL = "local"
    RAY = "ray"
    VECTORIZED = VECTORIZED


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done.

    Args:
        header: The study; of an existing study of this name, its seed.
        location: Where it is kept.
        task: What its trials share; the threads of its runtime are those of the packing.
        parallelism: How many trials at a time, with how many threads each; perhaps still to be measured.
        settings: The settings it was made from, the default budget, sampler and pruner filled in.
    """

    header: StudyHeader
    location: StudyLocation
    task: Task
    parallelism: Parallelism
    settings: Settings

    @property
    def workers(self) -> int:
        """Trials at a time."""
        return self.parallelism.layout.workers

    @property
    def concurrent_trials(self) -> int:
        """Trials whose seconds pass at the same time: members of a population share theirs."""
        return 1 if self.settings.executor == ExecutorName.VECTORIZED else self.workers

    def with_workers(self, workers: int) -> Plan:
        """Returns the same plan with so many workers: a cluster may have room for others than were asked for."""
        layout = dataclasses.replace(self.parallelism.layout, workers=workers)
        return dataclasses.replace(self, parallelism=dataclasses.replace(self.parallelism, layout=layout))

    def with_parallelism(self, parallelism: Parallelism) -> Plan:
        """Returns the same plan with its trials packed so."""
        runtime = dataclasses.replace(self.task.runtime, threads=parallelism.layout.threads)
        return dataclasses.replace(self, parallelism=parallelism, task=dataclasses.replace(self.task, runtime=runtime))


def checkpoint_folder(plan: Plan, study_folder: Path) -> Path | None:
    """Returns where the states of unfinished trials are kept; None where no place is known that all workers can reach.

    Args:
        plan: What is done.
        study_folder: The study's folder on this machine.
    """
    settings, header = plan.settings, plan.header
    if settings.checkpoint_dir is not None:
        folder = settings.checkpoint_dir
        root = storage_paths.as_path(folder) if "://" in folder else Path(folder).absolute()
        return root / f"{header.name}-{header.seed}"  # two studies of one name may share it
    return study_folder / "checkpoints" if settings.address is None else None


def make_plan(settings: Settings) -> Plan:
    """Checks the settings and returns the plan.

    Raises:
        UserError: Something cannot be used as given; nothing was written but the data cache.
    """
    settings = _with_defaults(settings)
    space, source = load_space(settings)
    protocol_name = _parse_choice(ProtocolName, settings.protocol, "protocol")
    _check_executor(settings)
    runtime = make_runtime(settings)
    dataset = prepare(settings.dataset, Path(settings.cache_dir) if settings.cache_dir else None)
    protocol = EvaluationProtocol(
        name=protocol_name,
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        split=_split(settings, dataset),
        split_seed=settings.split_seed,
        epochs=settings.epochs,
    )
    if settings.tensorboard is not None and importlib.util.find_spec("tensorboardX") is None:
        raise missing_extra("--tensorboard", "tensorboard")
    for folder in ("studies_dir", "reports_dir", "tensorboard"):
        if (path := getattr(settings, folder)) is not None:
            _check_folder(folder, Path(path))
    location = StudyLocation(studies_dir=Path(settings.studies_dir), storage=settings.storage)
    name = settings.study or default_study_name(settings, dataset, space)
    header = StudyHeader(
        name=name,
        space=space,
        space_source=source,
        protocol=protocol,
        engine=settings.engine,
        sampler=settings.sampler or NO_ENGINE,
        pruner=settings.pruner or NO_ENGINE,
        seed=settings.seed or 0,
        created=utc_now(),
        versions=package_versions("tensorflow", "keras", "optuna", "keras-tuner", "numpy", "keras-image-search"),
    )
    if settings.engine != NO_ENGINE:
        engine_for(header)  # an unknown sampler or a missing extra is said now, before a storage is opened
    seed = _seed(settings, location, name)
    header = dataclasses.replace(header, seed=seed, command=command_line(seed))
    parallelism = initial_parallelism(settings, runtime)
    task = Task(
        protocol=protocol,
        dataset=dataset,
        space_source=source,
        runtime=runtime,
        trial_seconds=settings.trial_timeout,
    )
    if protocol_name is ProtocolName.HOLDOUT:
        make_split_indices(
            open_training(dataset), split=protocol.split, seed=protocol.split_seed
        )  # so is a lopsided block
    return Plan(
        header=header, location=location, task=task, parallelism=parallelism, settings=settings
    ).with_parallelism(parallelism)


def _check_executor(settings: Settings) -> None:
    """Refuses what cannot run trials, or keep their states, before anything is made."""
    executor = _parse_choice(ExecutorName, settings.executor, "executor")
    _check_vectorized(executor, settings)
    if executor is ExecutorName.RAY and importlib.util.find_spec("ray") is None:
        raise missing_extra("--executor ray", "ray")
    if executor is not ExecutorName.RAY and settings.address is not None:
        raise UserError(
            f"Only a Ray cluster has an address. Received: --address {settings.address} --executor {executor}.",
            hint="Add --executor ray.",
        )
    if settings.checkpoint_dir is not None:
        storage_paths.check_location(settings.checkpoint_dir, "--checkpoint-dir")
        if "://" not in settings.checkpoint_dir:
            _check_folder("checkpoint_dir", Path(settings.checkpoint_dir))


def engine_for(header: StudyHeader) -> Engine:
    """Returns a fresh engine for a study."""
    choice = EngineChoice(engine=header.engine, sampler=header.sampler, pruner=header.pruner)
    return make_engine(choice, header.space, seed=header.seed, epochs=header.protocol.epochs)


def load_space(settings: Settings) -> tuple[Space, str]:
    """Returns the space, narrowed as the settings say, and the source by which a worker finds its builder."""
    try:
        space = registry.load(settings.space)
        narrowed = restrict(space, fix=settings.fix, ranges=settings.range)
    except SpaceError as error:
        raise UserError(str(error)) from None
    is_registered = settings.space in registry.SPACES
    return narrowed, settings.space if is_registered else str(Path(settings.space).resolve())


def make_runtime(settings: Settings) -> Runtime:
    """Returns what workers run on; deterministic by default on a CPU, where it costs nothing measurable.

    Raises:
        UserError: The backend is not installed, the precision is unknown, or a GPU was asked for and there is none it
            can use here; whether a cluster has one is found out when it is joined.
    """
    backend = _parse_choice(Backend, settings.keras_backend, "backend")
    if importlib.util.find_spec(backend.value) is None:
        option = f"--backend {backend}" if settings.backend else f"--executor {settings.executor}"
        raise missing_extra(option, backend.value)
    if settings.executor == ExecutorName.RAY:
        device, gpus = _cluster_device(settings.devices, backend), tuple[str, ...]()
    else:
        device, gpus = devices.select_devices(settings.devices, backend)
    on_gpu = device is Device.GPU
    return Runtime(
        backend=backend,
        device=device,
        gpus=gpus,
        deterministic=not on_gpu if settings.deterministic is None else settings.deterministic,
        precision=_parse_choice(Precision, settings.precision, "precision"),
    )


def _cluster_device(devices_option: str, backend: Backend) -> Device:
    """Returns what workers of a Ray cluster compute on; Ray itself says which GPU each of them has."""
    if devices_option.startswith("gpu:"):
        raise UserError(
            f"Ray chooses the GPU of each worker itself. Received: --devices {devices_option}.",
            hint="Use --devices gpu.",
        )
    return Device.GPU if devices_option == Device.GPU else devices.select_devices(devices_option, backend)[0]


def initial_parallelism(settings: Settings, runtime: Runtime) -> Parallelism:
    """Returns the layout that the options say; where they leave it open, one worker a core or a GPU for now.

    Threads given alone leave room for so many workers; workers given alone share the cores among them.
    """
    workers, threads, core_count = settings.workers, settings.threads, usable_cores()
    if settings.executor == ExecutorName.VECTORIZED:
        if workers is not None:
            return Parallelism(layout=WorkerLayout(workers, threads or core_count), chosen_by=ChosenBy.SPECIFIED)
        note = f"as many as memory holds, {MAX_POPULATION[runtime.device]} a device at most; --workers N does without"
        sampled = PROBE_POPULATION_SIZE * max(1, len(runtime.gpus))
        return Parallelism(layout=WorkerLayout(sampled, threads or core_count), chosen_by=ChosenBy.PENDING, note=note)
    if runtime.device is Device.GPU:
        layout = WorkerLayout(workers or max(1, len(runtime.gpus)), threads or 1)
        return Parallelism(layout=layout, chosen_by=ChosenBy.PENDING if workers is None else ChosenBy.SPECIFIED)
    if workers is None and threads is None:
        return Parallelism(
            layout=WorkerLayout(min(core_count, memory_worker_limit()), 1),
            chosen_by=ChosenBy.PENDING if core_count > 1 else ChosenBy.UNMEASURED,
        )
    layout = WorkerLayout(
        workers or max(1, core_count // (threads or 1)), threads or max(1, core_count // (workers or 1))
    )
    return Parallelism(layout=layout, chosen_by=ChosenBy.SPECIFIED)


def default_study_name(settings: Settings, dataset: DatasetInfo, space: Space) -> str:
    """Returns a study's name from what it does: data set, space, and sampler or "baseline".

    An engine other than the default stands before its sampler, since both may have one of the same name.
    """
    method = "baseline" if settings.engine == NO_ENGINE else str(settings.sampler)
    if settings.engine not in (NO_ENGINE, next(iter(ENGINES))):
        method = f"{settings.engine}-{method}"
    tutorial = "-tutorial" if settings.protocol == ProtocolName.TUTORIAL and settings.engine != NO_ENGINE else ""
    return to_study_name(f"{Path(dataset.name).stem}-{space.name}-{method}{tutorial}")


def command_line(seed: int) -> str:
    """Returns the command that is running, as one would type it to make the same again, but for a password.

    Empty in a notebook.
    """
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is None or main.name != "search.__main__":
        return ""
    seed_option = () if any(word.partition("=")[0] == "--seed" for word in sys.argv) else ("--seed", str(seed))
    return shlex.join(["python", "-m", "search", *map(redact.without_password, sys.argv[1:]), *seed_option])


def _check_vectorized(executor: ExecutorName, settings: Settings) -> None:
    """Refuses what trials that are trained together cannot have."""
    if executor is not ExecutorName.VECTORIZED:
        return
    if settings.keras_backend != Backend.JAX:
        raise UserError(
            f"The vectorised executor trains on JAX. Received: --executor {executor} --backend {settings.backend}.",
            hint="Leave --backend out, or use --executor local.",
        )
    if settings.ordered and settings.workers is None:
        raise UserError(
            "How many trials are trained together follows from the memory that is free, and proposals from how many "
            f"there are. Expected: --workers N. Received: --executor {executor} --ordered.",
            hint="Say how many, for example --workers 8.",
        )
    for name in ("trial_timeout", "trial_memory"):
        if getattr(settings, name) is not None:
            raise UserError(
                f"Trials that are trained together share their time and memory; one of them can have no bound. "
                f"Received: --executor {executor} --{name.replace('_', '-')}.",
                hint="Leave it out, or use --executor local.",
            )


def _check_folder(option: str, folder: Path) -> None:
    """Refuses a folder that could not be written to, before hours are spent on what should go there."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        reason = "is not a folder" if not nearest.is_dir() else "cannot be written to"
        flag = f"--{option.replace('_', '-')}"
        raise UserError(f"{nearest} {reason}. Received: {flag} {folder}.", hint=f"Name another with {flag}.")


def _with_defaults(settings: Settings) -> Settings:
    """Returns the settings with engine, sampler, pruner and budget filled in."""
    if settings.engine != NO_ENGINE:
        choice = parse_engine(settings.engine, sampler=settings.sampler, pruner=settings.pruner)
        settings = dataclasses.replace(settings, engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner)
    if settings.trials is None and settings.timeout is None and settings.total_epochs is None:
        settings = dataclasses.replace(settings, timeout=DEFAULT_SECONDS)
    return settings


def _seed(settings: Settings, location: StudyLocation, name: str) -> int:
    """Returns the seed given, else that of an existing study of this name, else a fresh one."""
    if settings.seed is not None:
        return settings.seed
    with contextlib.suppress(StudyNotStartedError):  # another coordinator is only starting it, or died before
        if name in location.study_names():
            return read_study(location, name).header.seed
    return seeds.random_seed()


def _split(settings: Settings, dataset: DatasetInfo) -> Split:
    return default_split(dataset) if settings.split is None else _parse_choice(Split, settings.split, "split")


def _parse_choice(kind: type[E], received: str, option: str) -> E:
    members: Mapping[str, E] = {member.value: member for member in kind}
    if received not in members:
        raise unknown_name(option, received, members)
    return members[received]
