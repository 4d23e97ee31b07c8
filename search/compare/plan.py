"""From settings to a tournament: what can be wrong with the input is found here, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search import seeds
from search.compare.store import read_spec
from search.compare.terms import ComparisonSpec, study_name
from search.engines.registry import ENGINES, EngineChoice, parse_engine
from search.errors import UserError
from search.records.record import NO_ENGINE, utc_now
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import THREAD_COUNT_NOTE, ChosenBy, Parallelism, WorkerLayout
from search.session.plan import Plan, command_line, default_study_name, make_plan
from search.session.settings import NAME, Settings
from search.training.runtime import Device

DEFAULT_TRIALS = 20
"""Full trials' worth of epochs for each study when no budget is given."""
_REPEAT_SEED_STREAM = 3
"""Keeps the seeds of repeats apart from those that ``search.seeds`` derives for phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """One study of a tournament.

    Args:
        position: Which in the order of all, from 1.
        total: How many there are.
        engine: Such as "optuna:tpe".
        repeat: From 0.
        repeats: How many repeats there are.
        plan: Of the study's search; verification is the tournament's own.
    """

    position: int
    total: int
    engine: str
    repeat: int
    repeats: int
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What will be done.

    Args:
        spec: As they will be recorded: engines and repeats of earlier commands included.
        folder: Where the studies are kept.
        study_runs: What was asked for now, in order.
    """

    spec: ComparisonSpec
    folder: Path
    study_runs: tuple[StudyRun, ...]


def make_comparison_plan(
    settings: Settings,
    *,
    engines: Sequence[str],
    repeats: int,
    name: str | None = None,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None] = lambda _: None,
) -> ComparisonPlan:
    """Checks the input and returns the tournament.

    Args:
        settings: What all studies share. One of ``trials`` (full trials' worth of epochs), ``total_epochs`` and
            ``timeout`` (seconds of each search alone) bounds each; ``DEFAULT_TRIALS`` where none does.
        engines: As ``choose_engine`` reads them.
        repeats: Studies of each engine, at least 1.
        name: Of the tournament; made from data set and space where it is None.
        on_probe_start: Called before workers and threads are measured; see ``choose_parallelism``.

    Raises:
        UserError: Something cannot be used as given, or the name is taken by another tournament.
    """
    if repeats < 1:
        raise UserError(f"--repeats must be at least 1. Received: --repeats {repeats}.")
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"A name is made of letters, digits, '.', '_' and '-'. Received: --name {name!r}.")
    shared = replace(_with_budget(settings), recipes=False, finalists=0, study="tournament")
    plans = {choice.name: _engine_plan(shared, choice) for choice in choose_engines(engines, settings.pruner)}
    folder = Path(settings.studies_dir) / (name or default_comparison_name(next(iter(plans.values()))))
    recorded = read_spec(folder)
    first = next(iter(plans.values()))
    parallelism = _recorded_parallelism(first, recorded) or choose_parallelism(first, on_probe_start=on_probe_start)
    plans = {engine: replace(plan, chosen_parallelism=parallelism) for engine, plan in plans.items()}
    spec = ComparisonSpec(
        name=folder.name,
        seed=_seed(settings, recorded),
        engines=tuple(plans),
        repeats=repeats,
        epochs=shared.total_epochs,
        seconds=shared.timeout,
        replicates=shared.replicates,
        terms=_shared_terms(first, parallelism, settings.pruner),
        created=utc_now(),
    )
    command = command_line(spec.seed)
    spec = _merge_specs(recorded, replace(spec, commands=(command,) if command else ()))
    return ComparisonPlan(
        spec=spec, folder=folder, study_runs=tuple(_schedule_study_runs(spec, plans, repeats, folder))
    )


def choose_engines(engines: Sequence[str], pruner: str | None) -> list[EngineChoice]:
    """Returns the engines; the pruner goes to those that have it, the others keep their default.

    Raises:
        UserError: One is unknown or stands twice, there is none, or none has the pruner.
    """
    if not engines:
        raise UserError("There is no engine to compare. Received: --engines without a name.")
    choices = [parse_engine(text) for text in engines]
    with_pruner = [choice for choice in choices if pruner in ENGINES[choice.engine].pruners]
    if pruner is not None and not with_pruner:
        parse_engine(engines[0], pruner=pruner)  # says which pruners there are
    names = [choice.name for choice in choices]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"An engine can enter once. Received: {duplicate} twice in --engines {','.join(engines)}.")
    return [replace(choice, pruner=pruner) if pruner and choice in with_pruner else choice for choice in choices]


def default_comparison_name(plan: Plan) -> str:
    """Returns a tournament's name from what it does: "compare-mnist-cnn"."""
    without_engine = replace(plan.settings, engine=NO_ENGINE)
    return (
        f"compare-{default_study_name(without_engine, plan.task.dataset, plan.header.space).removesuffix('-baseline')}"
    )


def repeat_seed(seed: int, repeat: int) -> int:
    """Returns the seed of all studies of one repeat, in [0, 2**31)."""
    return int(np.random.SeedSequence([seed, _REPEAT_SEED_STREAM, repeat]).generate_state(1)[0]) >> 1


def _with_budget(settings: Settings) -> Settings:
    """Returns the settings with the one budget that is given, trials turned into epochs.

    Raises:
        UserError: Two are given, or one that trains nothing.
    """
    budget_options = {
        "--budget": settings.timeout,
        "--trials": settings.trials,
        "--total-epochs": settings.total_epochs,
    }
    amounts = {name: amount for name, amount in budget_options.items() if amount is not None} or {
        "--trials": DEFAULT_TRIALS
    }
    if len(amounts) > 1:
        raise UserError(
            f"A tournament has one budget. Received: {' and '.join(amounts)}.", hint="Leave out all but one of them."
        )
    ((name, amount),) = amounts.items()
    if amount <= 0:
        raise UserError(f"{name} must be more than 0. Received: {name} {amount:g}.")
    if name == "--budget":
        return settings
    epochs = int(amount) * (settings.epochs if name == "--trials" else 1)
    return replace(settings, trials=None, total_epochs=epochs)


def _engine_plan(settings: Settings, choice: EngineChoice) -> Plan:
    """Returns the plan of an engine's studies; making it imports the engine's library, so that no clock counts that."""
    seed = settings.seed or 0
    return make_plan(replace(settings, engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner, seed=seed))


def _recorded_parallelism(plan: Plan, recorded: ComparisonSpec | None) -> Parallelism | None:
    """Returns the workers and threads of a recorded comparison; None if there are none or the options set their own."""
    settings, terms = plan.settings, recorded.terms if recorded else {}
    is_set = settings.workers is not None or (settings.threads is not None and plan.task.runtime.device is Device.CPU)
    if is_set or not {"workers", "threads"} <= terms.keys():
        return None
    layout = WorkerLayout(terms["workers"], terms["threads"])
    return Parallelism(layout=layout, chosen_by=ChosenBy.RECORDED, note=THREAD_COUNT_NOTE)


def _shared_terms(plan: Plan, parallelism: Parallelism, pruner: str | None) -> dict[str, object]:
    """Returns what else must be equal in all studies of a tournament, whenever they are run."""
    header, runtime = plan.header, plan.task.runtime
    return {
        "space": header.space.to_json(),
        "space_source": header.space_source,
        "protocol": header.protocol.to_json(),
        "pruner": pruner or "each engine's own",
        "workers": parallelism.layout.workers,
        "threads": parallelism.layout.threads,
        "ordered": plan.settings.ordered,
        "backend": runtime.backend.value,
        "device": runtime.device.value,
        "deterministic": runtime.deterministic,
        "precision": runtime.precision.value,
    }


def _seed(settings: Settings, recorded: ComparisonSpec | None) -> int:
    if settings.seed is not None:
        return settings.seed
    return recorded.seed if recorded else seeds.random_seed()


def _merge_specs(recorded: ComparisonSpec | None, requested: ComparisonSpec) -> ComparisonSpec:
    """Returns the recorded rules with the engines and repeats that are new.

    Raises:
        UserError: They are another tournament's; the message names the differences.
    """
    if recorded is None:
        return requested
    if differences := recorded.differences(requested):
        raise UserError(
            f"Tournament {recorded.name!r} exists and is another one. It differs in {'; '.join(differences[:4])}.",
            hint="Give this one a name of its own with --name NAME, or repeat the recorded options.",
        )
    new = tuple(engine for engine in requested.engines if engine not in recorded.engines)
    if not new and requested.repeats <= recorded.repeats:
        return recorded
    return replace(
        recorded,
        engines=recorded.engines + new,
        repeats=max(recorded.repeats, requested.repeats),
        commands=recorded.commands + requested.commands,
    )


def _schedule_study_runs(
    spec: ComparisonSpec, plans: dict[str, Plan], repeats: int, folder: Path
) -> Iterator[StudyRun]:
    """Yields the studies in the order in which they are run."""
    schedule = [(repeat, engine) for repeat in range(repeats) for engine in plans]
    for position, (repeat, engine) in enumerate(schedule, 1):
        shared = plans[engine]
        header = replace(
            shared.header,
            name=study_name(engine, repeat),
            seed=repeat_seed(spec.seed, repeat),
            command=command_line(spec.seed),
        )
        plan = replace(shared, header=header, location=replace(shared.location, studies_dir=folder))
        yield StudyRun(position=position, total=len(schedule), engine=engine, repeat=repeat, repeats=repeats, plan=plan)
