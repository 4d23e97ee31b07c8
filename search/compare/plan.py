"""From settings to the plan of a comparison: checks the input before anything is written but the data cache.

Called by the command line; ``run`` executes the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search import seeds
from search.compare.spec import RECIPES_KEY, ComparisonSpec, RunKey, schedule, study_name, study_seed
from search.compare.store import StudyStore, raise_if_different
from search.engines.registry import EngineChoice, parse_engine, pruners_of
from search.errors import UserError
from search.records.arithmetic import KERNELS_KEY, LAYERS_KEY, Arithmetic, Layers
from search.records.record import NO_ENGINE, utc_now
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import ARITHMETIC_NOTE, ChosenBy, Parallelism, WorkerLayout
from search.session.plan import Plan, command_line, default_study_name, make_plan
from search.session.settings import NAME, Settings
from search.training.runtime import Backend, Device

BUILDER_KEY = "builder_sha256"
"""Name of the hash of the model builder's file among a comparison's terms."""
DEFAULT_TRIALS = 20
"""Full trials' worth of epochs for each study when no budget is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What will be done.

    Args:
        spec: As it will be recorded, with the engines and repeats of earlier commands.
        folder: Where the studies are kept.
        studies: The requested studies in order, each with the plan of its search.
    """

    spec: ComparisonSpec
    folder: Path
    studies: Mapping[RunKey, Plan]


def make_comparison_plan(
    settings: Settings,
    *,
    engines: Sequence[str],
    repeats: int,
    name: str | None = None,
    with_recipes: bool = False,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None] = lambda _: None,
) -> ComparisonPlan:
    """Checks the input and returns the plan.

    Args:
        settings: What all studies share. At most one of ``trials`` (full trials' worth of epochs), ``total_epochs`` and
            ``timeout`` (seconds of each search alone) bounds each search; by default ``DEFAULT_TRIALS``.
        engines: As ``choose_engines`` reads them.
        repeats: Studies of each engine, at least 1.
        name: Of the comparison; by default made from data set and space.
        with_recipes: Whether each search tries the space's recipes.
        on_probe_start: Called before workers, threads and kernels are measured; see ``choose_parallelism``.

    Raises:
        UserError: An input is invalid, or the name is taken by a comparison of other terms.
    """
    if repeats < 1:
        raise UserError(f"--repeats must be at least 1. Received: --repeats {repeats}.")
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"A name is made of letters, digits, '.', '_' and '-'. Received: --name {name!r}.")
    shared = replace(
        _with_budget(settings), recipes=with_recipes, finalists=0, study="comparison", seed=settings.seed or 0
    )
    choices = choose_engines(engines, settings.pruner)
    # Making a plan imports the engine's library, so that no search's clock counts that.
    plans = {
        choice.name: make_plan(replace(shared, engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner))
        for choice in choices
    }
    folder = Path(settings.studies_dir) / (name or _default_name(plans[choices[0].name]))
    recorded = StudyStore(folder).read_spec()
    plans = _with_arithmetic(plans, recorded, on_probe_start)
    seed = settings.seed if settings.seed is not None else recorded.seed if recorded else seeds.random_seed()
    command = command_line(seed)
    spec = ComparisonSpec(
        name=folder.name,
        seed=seed,
        engines=tuple(plans),
        repeats=repeats,
        epochs=shared.total_epochs,
        seconds=shared.timeout,
        replicates=shared.usual_replicates,
        terms=_shared_terms(plans[choices[0].name], settings.pruner),
        commands=(command,) if command else (),
        created=utc_now(),
    )
    if recorded is not None:
        spec = _continued(recorded, spec, folder)
    studies = {key: _study_plan(key, plans[key.engine], spec.seed, folder) for key in schedule(plans, repeats)}
    return ComparisonPlan(spec=spec, folder=folder, studies=studies)


def choose_engines(engines: Sequence[str], pruner: str | None) -> list[EngineChoice]:
    """Returns the engines; those that have the pruner get it, the others keep their default.

    Raises:
        UserError: There is no engine, one is unknown or named twice, or none has the pruner.
    """
    if not engines:
        raise UserError("There is no engine to compare. Received: --engines without a name.")
    choices = [parse_engine(text) for text in engines]
    with_pruner = [choice for choice in choices if pruner in pruners_of(choice.engine, choice.sampler)]
    if pruner is not None and not with_pruner:
        parse_engine(engines[0], pruner=pruner)  # raises an error that lists the pruners
    names = [choice.name for choice in choices]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"Each engine is named once. Received: {duplicate} twice in --engines {','.join(engines)}.")
    return [replace(choice, pruner=pruner) if pruner and choice in with_pruner else choice for choice in choices]


def _default_name(plan: Plan) -> str:
    """Returns the name of a comparison by data set and space: "compare-mnist-cnn"."""
    without_engine = replace(plan.settings, engine=NO_ENGINE)
    name = default_study_name(without_engine, plan.task.dataset, plan.header.space, names_changes=False)
    return f"compare-{name.removesuffix('-baseline')}"


def _with_budget(settings: Settings) -> Settings:
    """Returns the settings with one budget, trials turned into epochs.

    Raises:
        UserError: Several budgets are given, or one that is not positive.
    """
    options = {"--budget": settings.timeout, "--trials": settings.trials, "--total-epochs": settings.total_epochs}
    amounts = {option: amount for option, amount in options.items() if amount is not None}
    amounts = amounts or {"--trials": DEFAULT_TRIALS}
    if len(amounts) > 1:
        raise UserError(
            f"A comparison has one budget. Received: {' and '.join(amounts)}.", hint="Leave out all but one of them."
        )
    ((option, amount),) = amounts.items()
    if amount <= 0:
        raise UserError(f"{option} must be more than 0. Received: {option} {amount:g}.")
    if option == "--budget":
        return settings
    epochs = int(amount) * (settings.epochs * (settings.folds or 1) if option == "--trials" else 1)
    return replace(settings, trials=None, total_epochs=epochs)


def _with_arithmetic(
    plans: Mapping[str, Plan],
    recorded: ComparisonSpec | None,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None],
) -> dict[str, Plan]:
    """Returns the plans with the workers, threads, kernels and layers that all studies share."""
    if recorded is not None:
        layers = _recorded_layers(recorded)
        plans = {engine: plan.with_recorded_layers(layers) for engine, plan in plans.items()}
    first = next(iter(plans.values()))
    parallelism = _recorded_parallelism(first, recorded) or choose_parallelism(first, on_probe_start=on_probe_start)
    if recorded is not None:
        # Whatever sets workers and threads. Comparisons that recorded no kernels ran with TensorFlow's default.
        kernels = first.task.runtime.kernels or Arithmetic.from_json(recorded.terms).kernels
        parallelism = replace(parallelism, kernels=kernels)
    return {engine: replace(plan, chosen_parallelism=parallelism) for engine, plan in plans.items()}


def _recorded_parallelism(plan: Plan, recorded: ComparisonSpec | None) -> Parallelism | None:
    """Returns the layout of a recorded comparison; None if there is none or the options set workers or threads."""
    settings, terms = plan.settings, recorded.terms if recorded else {}
    is_set = settings.workers is not None or (settings.threads is not None and plan.task.runtime.device is Device.CPU)
    if is_set or not {"workers", "threads"} <= terms.keys():
        return None
    layout = WorkerLayout(terms["workers"], terms["threads"])
    return Parallelism(layout=layout, chosen_by=ChosenBy.RECORDED, note=ARITHMETIC_NOTE)


def _recorded_layers(recorded: ComparisonSpec) -> Layers | None:
    """Returns the layers of a recorded comparison; older ones recorded none and had Keras's own."""
    terms = recorded.terms
    if LAYERS_KEY in terms:
        return Arithmetic.from_json(terms).layers
    has_layers = terms.get("backend", Backend.TENSORFLOW) == Backend.TENSORFLOW and terms.get("device") != Device.GPU
    return Layers.KERAS if has_layers else None


def _shared_terms(plan: Plan, pruner: str | None) -> dict[str, object]:
    """Returns what else must be equal in all studies of a comparison."""
    header, runtime, parallelism = plan.header, plan.task.runtime, plan.parallelism
    return {
        "space": header.space.to_json(),
        "space_source": header.space_source,
        BUILDER_KEY: header.builder_sha256,
        "protocol": header.protocol.to_json(),
        "pruner": pruner or "each engine's own",
        "workers": parallelism.layout.workers,
        "threads": parallelism.layout.threads,
        "ordered": plan.settings.ordered,
        RECIPES_KEY: plan.settings.recipes,
        "backend": runtime.backend.value,
        "device": runtime.device.value,
        "deterministic": runtime.deterministic,
        "precision": runtime.precision.value,
        KERNELS_KEY: parallelism.kernels.value if parallelism.kernels else None,
        LAYERS_KEY: runtime.arithmetic.layers,
    }


def _continued(recorded: ComparisonSpec, requested: ComparisonSpec, folder: Path) -> ComparisonSpec:
    """Returns the recorded spec with the engines and repeats that are new.

    Raises:
        UserError: Something that all studies of a comparison share differs.
    """
    # Older comparisons recorded neither kernels nor the builder's hash; those of this run are theirs from now on.
    older = {name: requested.terms[name] for name in (KERNELS_KEY, BUILDER_KEY)}
    older[LAYERS_KEY] = _recorded_layers(recorded)
    recorded = replace(recorded, terms={**older, **recorded.terms})
    raise_if_different(folder, recorded.fixed_terms(), requested.fixed_terms())
    new = tuple(engine for engine in requested.engines if engine not in recorded.engines)
    if not new and requested.repeats <= recorded.repeats:
        return recorded
    return replace(
        recorded,
        engines=recorded.engines + new,
        repeats=max(recorded.repeats, requested.repeats),
        commands=recorded.commands + requested.commands,
    )


def _study_plan(key: RunKey, plan: Plan, seed: int, folder: Path) -> Plan:
    command = command_line(seed)
    header = replace(plan.header, name=study_name(key), seed=study_seed(seed, key.repeat), command=command)
    return replace(plan, header=header, location=replace(plan.location, studies_dir=folder))
