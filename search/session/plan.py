"""From settings to a plan: checks the input, prepares the data, and writes nothing else.

Called by the API, the command line, the comparison of engines and the doctor.
"""

from __future__ import annotations

import math
import random
import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from search import seeds
from search.data.dataset import DatasetInfo, open_training, prepare
from search.data.split import default_split, make_folds
from search.engines.base import Engine
from search.engines.limits import Limit, limited_space, parameter_counter, parameter_limit
from search.engines.registry import ENGINES, EngineChoice, make_engine, objective_of, parse_engine
from search.errors import UserError
from search.files import as_path
from search.protocol import ClassWeight, EvaluationProtocol, Objective, ProtocolName, Split
from search.records import redact
from search.records.arithmetic import Arithmetic, Layers
from search.records.lookup import find_studies
from search.records.reader import read_recorded_header
from search.records.record import NO_ENGINE, StudyHeader, utc_now
from search.records.storage.locations import StudyLocation
from search.session.option_checks import check_executor, check_outputs
from search.session.parallelism.policy import Parallelism
from search.session.runtime import make_runtime, parse_choice
from search.session.search_space import changed_space, name_of_changes
from search.session.settings import AUTO, ExecutorName, Settings, to_study_name
from search.session.warm_start import with_earlier_studies
from search.study.verification import best_trials
from search.training.runtime import Device, package_versions
from search.training.task import Task
from search.trial import Config
from spaces import registry
from spaces.hypermodels import HypermodelBuilder, check_data
from spaces.narrow import Measure
from spaces.registry import SpaceError
from spaces.restrict import without_parameters
from spaces.space import Space
from spaces.training import complete
from spaces.workload import Workload, WorkloadFunction

DEFAULT_SECONDS = 15 * 60.0
"""Time budget when none is given, verification included."""
COUNTED_SAMPLES = 16
"""Configurations drawn from a space for which its workload function is checked; each takes microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run that was checked and can begin.

    Args:
        header: The study; its seed is that of an existing study of this name.
        location: Where the study is kept.
        task: What its trials share; the executor sets the threads and kernels of its runtime.
        settings: The settings, with budget, sampler and pruner filled in.
        workload: Counts the networks of the space, from which costs are predicted; None if the space does not.
        count_parameters: Counts the trainable parameters of a network; None without ``--max-parameters``.
        chosen_parallelism: Workers, threads and kernels; None until ``choose_parallelism`` has chosen them.
    """

    header: StudyHeader
    location: StudyLocation
    task: Task
    settings: Settings
    workload: WorkloadFunction | None = None
    count_parameters: Measure | None = None
    chosen_parallelism: Parallelism | None = None

    @property
    def parallelism(self) -> Parallelism:
        """Workers and threads."""
        assert self.chosen_parallelism is not None, "workers and threads are chosen when the session opens"
        return self.chosen_parallelism

    @property
    def arithmetic(self) -> Arithmetic:
        """What decides the bits of its trials, as given or chosen; None for what is not chosen yet."""
        runtime, chosen = self.task.runtime, self.chosen_parallelism
        if chosen is not None:
            return replace(runtime, threads=chosen.layout.threads, kernels=chosen.kernels).arithmetic
        threads = None if runtime.device is Device.GPU else self.settings.threads
        layers = None if self.settings.layers == AUTO else runtime.arithmetic.layers
        return replace(runtime.arithmetic, threads=threads, layers=layers)

    @property
    def recipes(self) -> dict[str, Config]:
        """The recipes of the space, by name, if the run is to try them."""
        space, is_search = self.header.space, self.header.engine != NO_ENGINE
        return {name: space.recipe(name) for name in space.recipes} if is_search and self.settings.recipes else {}

    def with_recorded_layers(self, layers: Layers | None) -> Plan:
        """Returns the plan with the layers of a record, if those are known, unless the options set them."""
        if self.settings.layers != AUTO or layers is None:
            return self
        return replace(self, task=replace(self.task, runtime=replace(self.task.runtime, layers=layers)))

    @property
    def workers(self) -> int:
        """Trials at a time."""
        return self.parallelism.layout.workers

    @property
    def concurrent_trials(self) -> int:
        """Trials whose seconds pass at the same time; trials that are trained together share their seconds."""
        return 1 if self.settings.executor == ExecutorName.VECTORIZED else self.workers

    @property
    def total_epochs(self) -> int | None:
        """Budget of the trials' epochs; in ``--total-epochs`` an epoch of a trial counts once for each fold."""
        total = self.settings.total_epochs
        return None if total is None else math.ceil(total / self.header.protocol.folds)

    @property
    def parameter_limit(self) -> Limit | None:
        """The limit of ``--max-parameters``; None without one."""
        most = self.header.max_parameters
        if most is None or self.count_parameters is None:
            return None
        return parameter_limit(self.header.space, self.count_parameters, most)

    @property
    def has_verification(self) -> bool:
        """Whether verification follows the search; it does not if the search uses the test images."""
        return self.settings.finalists > 0 and self.header.protocol.name is ProtocolName.HOLDOUT


def make_plan(settings: Settings) -> Plan:
    """Checks the settings and returns the plan.

    Raises:
        UserError: A setting cannot be used. Nothing but the data cache was written.
    """
    settings = _with_defaults(settings)
    space, source = load_space(settings)
    protocol_name = parse_choice(ProtocolName, settings.protocol, "protocol")
    check_executor(settings)
    runtime = make_runtime(settings)
    check_outputs(settings)
    cache_dir = Path(settings.cache_dir) if settings.cache_dir else None
    dataset = prepare(settings.dataset, cache_dir, settings.read_options)
    location = StudyLocation(studies_dir=Path(settings.studies_dir), storage=settings.storage)
    name = settings.study or default_study_name(settings, dataset, space)
    recorded = read_recorded_header(location, name)
    later = {} if recorded is None else registry.later_parameters(recorded.space, recorded.space_source)
    if later and recorded is not None and recorded.space_source == source:
        space, _ = load_space(settings, without=later)
    protocol = _make_protocol(settings, protocol_name, dataset, recorded)
    _check_workload(space, dataset)
    _check_hypermodel(space, dataset, settings)
    _check_predictable(space, settings)
    counter = None
    if settings.max_parameters is not None:
        counter = parameter_counter(space, dataset)
        space = limited_space(space, counter, settings.max_parameters)
    task = Task(
        protocol=protocol,
        dataset=dataset,
        space_source=source,
        runtime=runtime,
        trial_seconds=settings.trial_timeout,
        trial_memory_mib=settings.trial_memory,
    )
    header = replace(
        _make_header(settings, name, space, source, protocol, recorded),
        equal_images=dataset.equal_images,
        test_class_counts=dataset.test_class_counts,
    )
    return Plan(
        header=header,
        location=location,
        task=task,
        settings=settings,
        workload=space.workload,
        count_parameters=counter,
    )


def _make_protocol(
    settings: Settings, name: ProtocolName, dataset: DatasetInfo, recorded: StudyHeader | None
) -> EvaluationProtocol:
    """Returns the protocol.

    Raises:
        UserError: The data cannot be split so, or the protocol has no folds.
    """
    folds, split = settings.folds or 1, _choose_split(settings, dataset, recorded)
    protocol = EvaluationProtocol(
        name=name,
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        split=split,
        split_seed=settings.split_seed,
        folds=folds,
        epochs=settings.epochs,
        class_weight=parse_choice(ClassWeight, settings.class_weight, "class weight"),
    )
    if name is ProtocolName.HOLDOUT:  # refuses a split that lacks a class
        make_folds(open_training(dataset), split=split, seed=settings.split_seed, folds=folds)
    elif folds > 1:
        raise UserError(
            f"The tutorial protocol validates on the test images, not on folds. Received: --folds {folds}.",
            hint="Leave --folds or --protocol out.",
        )
    return protocol


def _choose_split(settings: Settings, dataset: DatasetInfo, recorded: StudyHeader | None) -> Split:
    """Returns the split by the option, else that of the recorded study, else the default of the data."""
    if settings.split is not None:
        return parse_choice(Split, settings.split, "split")
    folds = settings.folds or 1
    # Versions differ in their default: a study goes on with the one that it began with.
    if recorded is not None and (recorded.protocol.data_sha256, recorded.protocol.folds) == (dataset.sha256, folds):
        return recorded.protocol.split
    return default_split(dataset, folds)


def _with_defaults(settings: Settings) -> Settings:
    """Returns the settings with engine, sampler, pruner and budget filled in."""
    if settings.engine != NO_ENGINE:
        choice = parse_engine(settings.engine, sampler=settings.sampler, pruner=settings.pruner)
        settings = replace(settings, engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner)
    if settings.trials is None and settings.timeout is None and settings.total_epochs is None:
        settings = replace(settings, timeout=DEFAULT_SECONDS)
    return settings


def load_space(settings: Settings, without: Collection[str] = ()) -> tuple[Space, str]:
    """Returns the space and its source: a registered name or a path.

    The space is changed by ``--fix``, ``--range``, ``--tune`` and ``--at``, and has the recipes of the studies of
    ``--from``.

    Args:
        settings: The options.
        without: Parameters that it has got since a study that goes on began, and that this study leaves out.
    """
    location = StudyLocation(studies_dir=Path(settings.studies_dir), storage=settings.storage)
    earlier = [study.record for study in find_studies(settings.from_, location)] if settings.from_ else []
    for study in earlier:
        if not best_trials(study, 1):
            raise UserError(
                f"Study {study.header.name} has nothing to start from: no trial but the baseline has ended.",
                hint="Continue that study first, or leave it out of --from.",
            )
    best = best_trials(earlier[0], 1) if earlier else []
    try:
        space = registry.load(settings.space)
        if without:
            space = without_parameters(space, without)
        space = changed_space(space, settings, best[0].trial.config if best else None)
    except SpaceError as error:
        raise UserError(str(error)) from None
    if earlier:
        space = with_earlier_studies(space, earlier, max_parameters=settings.max_parameters)
    return space, settings.space if settings.space in registry.SPACES else str(Path(settings.space).resolve())


def _check_predictable(space: Space, settings: Settings) -> None:
    """Raises a UserError if seconds are limited that cannot be predicted."""
    if settings.max_seconds is not None and space.workload is None:
        raise UserError(
            f"The space {space.name} does not count the work of its networks, so their seconds are not predicted. "
            f"Received: --max-seconds {settings.max_seconds:g}.",
            hint="Use --trial-timeout."
            if isinstance(space.build, HypermodelBuilder)
            else "Give it a workload function (docs/spaces.md), or use --trial-timeout.",
        )


def _check_workload(space: Space, dataset: DatasetInfo) -> None:
    """Raises a UserError if a space counts its work and cannot count that of the baseline, a recipe or a sample."""
    if space.workload is None:
        return
    draw = random.Random(0)
    samples = [space.sample(draw) for _ in range(COUNTED_SAMPLES)]
    for config in [space.baseline, *map(space.recipe, space.recipes), *samples]:
        try:
            counted: object = space.workload(complete(config), dataset.image_shape, dataset.classes)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            counted = error
        if not isinstance(counted, Workload) or not counted.is_valid:
            raise UserError(
                f"The workload function of space {space.name!r} cannot be used. Expected: a Workload of finite counts, "
                f"0 or more, for {config}. Received: {counted!r}.",
                hint="Correct it, or leave workload= out of the space.",
            )


def _check_hypermodel(space: Space, dataset: DatasetInfo, settings: Settings) -> None:
    """Raises a UserError if a model of Keras Tuner does not fit the data or the executor."""
    if not isinstance(space.build, HypermodelBuilder):
        return
    if settings.executor == ExecutorName.VECTORIZED:
        raise UserError(
            "The vectorized executor trains models with this project's optimizers, not with those of Keras Tuner's "
            f"models. Received: --executor {settings.executor} --space {settings.space}.",
            hint="Use --executor local.",
        )
    try:
        check_data(space.build, dataset.image_shape, dataset.classes)
    except SpaceError as error:
        raise UserError(str(error)) from None


def default_study_name(settings: Settings, dataset: DatasetInfo, space: Space, *, names_changes: bool = True) -> str:
    """Returns a study's default name: data set, how it is read, space, what was changed, and sampler or "baseline".

    The name of an engine other than the default precedes its sampler, since two engines may share a sampler's name.
    Data sets whose names hold letters that no study's name has are told apart by their hashes.
    """
    method = "baseline" if settings.engine == NO_ENGINE else str(settings.sampler)
    if settings.engine not in (NO_ENGINE, next(iter(ENGINES))):
        method = f"{settings.engine}-{method}"
    tutorial = "-tutorial" if settings.protocol == ProtocolName.TUTORIAL and settings.engine != NO_ENGINE else ""
    stem = Path(dataset.name).stem.replace(" ", "-")
    is_spelled = to_study_name(stem) == stem
    data = "-".join([stem, *([] if is_spelled else [dataset.sha256[:6]]), *settings.read_options.words])
    pruner = None if settings.engine == NO_ENGINE else parse_engine(settings.engine, sampler=settings.sampler).pruner
    changes = name_of_changes(settings, space, pruner) if names_changes else ""
    parts = (data, space.name, changes, f"{method}{tutorial}")
    return to_study_name("-".join(part for part in parts if part))


def _make_header(
    settings: Settings,
    name: str,
    space: Space,
    source: str,
    protocol: EvaluationProtocol,
    recorded: StudyHeader | None,
) -> StudyHeader:
    """Returns the study's header, with the seed that was given, else the recorded study's, else a fresh one.

    Raises:
        UserError: The engine cannot be used, or the file of the model builder cannot be read.
    """
    try:
        builder_sha256 = registry.builder_sha256(source)
    except SpaceError as error:
        raise UserError(str(error)) from None
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
        objective=objective_of(
            settings.engine,
            settings.sampler,
            settings.pruner,
            parse_choice(Objective, settings.objective, "objective"),
        ),
        builder_sha256=builder_sha256,
        max_parameters=settings.max_parameters,
        versions=package_versions("tensorflow", "keras", "optuna", "keras-tuner", "numpy", "keras-image-search"),
    )
    if settings.engine != NO_ENGINE:
        engine_for(header)  # refuses an unknown sampler or a missing extra before a storage is opened
    drawn = seeds.random_seed() if recorded is None else recorded.seed
    seed = drawn if settings.seed is None else settings.seed
    return replace(header, seed=seed, command=command_line(seed))


def engine_for(header: StudyHeader) -> Engine:
    """Returns a fresh engine for a study."""
    choice = EngineChoice(engine=header.engine, sampler=header.sampler, pruner=header.pruner)
    return make_engine(
        choice, header.space, seed=header.seed, epochs=header.protocol.epochs, objective=header.objective
    )


def command_line(seed: int) -> str:
    """Returns the running command with its seed and without passwords; empty in a notebook."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is None or main.name != "search.__main__":
        return ""
    seed_option = () if any(word.partition("=")[0] == "--seed" for word in sys.argv) else ("--seed", str(seed))
    return shlex.join(["python", "-m", "search", *map(redact.without_password, sys.argv[1:]), *seed_option])


def checkpoint_folder(plan: Plan, study_folder: Path) -> Path | None:
    """Returns the folder of unfinished trials' states; None if no folder is known that all workers can reach.

    Args:
        plan: The run.
        study_folder: The study's folder on this machine.
    """
    settings, header = plan.settings, plan.header
    if settings.checkpoint_dir is not None:
        folder = settings.checkpoint_dir
        root = as_path(folder) if "://" in folder else Path(folder).absolute()
        return root / f"{header.name}-{header.seed}"  # two studies of one name may share the folder
    return study_folder / "checkpoints" if settings.address is None else None
