"""From settings to a tournament: what can be wrong with the input is found here, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search import seeds
from search.comparison.rules import Rules, study_name
from search.engines.registry import ENGINES, EngineChoice, choose_engine
from search.errors import UserError
from search.execution.packing import SAME_BITS, Basis, Layout, Packing
from search.records.ledger import now
from search.records.record import StudyRecord
from search.session.packing import Watch, pack
from search.session.planning import NO_ENGINE, Plan, command_line, default_name, make_plan
from search.session.settings import NAME, Settings
from search.tournament.store import read_rules

DEFAULT_TRIALS = 20
"""Full trials' worth of epochs for each study when no budget is given."""
_REPEATS_STREAM = 3
"""Keeps the seeds of repeats apart from those that ``search.seeds`` derives for phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bout:
    """One study of a tournament.

    Args:
        place: Which in the order of all, from 1.
        of: How many there are.
        engine: Such as "optuna:tpe".
        repeat: From 0.
        repeats: How many repeats there are.
        plan: Of the study's search; verification is the tournament's own.
    """

    place: int
    of: int
    engine: str
    repeat: int
    repeats: int
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Tournament:
    """What will be done.

    Args:
        rules: As they will be recorded: engines and repeats of earlier commands included.
        folder: Where the studies are kept.
        bouts: What was asked for now, in order.
    """

    rules: Rules
    folder: Path
    bouts: tuple[Bout, ...]


def make_tournament(settings: Settings, *, engines: Sequence[str], repeats: int, name: str | None = None) -> Tournament:
    """Checks the input and returns the tournament.

    Args:
        settings: What all studies share. One of ``trials`` (full trials' worth of epochs), ``total_epochs`` and
            ``timeout`` (seconds of each search alone) bounds each; ``DEFAULT_TRIALS`` where none does.
        engines: As ``choose_engine`` reads them.
        repeats: Studies of each engine, at least 1.
        name: Of the tournament; made from data set and space where it is None.

    Raises:
        UserError: Something cannot be used as given, or the name is taken by another tournament.
    """
    if repeats < 1:
        raise UserError(f"--repeats must be at least 1. Received: --repeats {repeats}.")
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"A name is made of letters, digits, '.', '_' and '-'. Received: --name {name!r}.")
    shared = replace(_bounded(settings), recipes=False, finalists=0, study="tournament")
    plans = {choice.name: _plan(shared, choice) for choice in choose(engines, settings.pruner)}
    folder = Path(settings.studies_dir) / (name or name_of(next(iter(plans.values()))))
    recorded = read_rules(folder)
    plans = {engine: _packed_as(plan, recorded) for engine, plan in plans.items()}
    first = next(iter(plans.values()))
    rules = Rules(
        name=folder.name,
        seed=_seed(settings, recorded),
        engines=tuple(plans),
        repeats=repeats,
        epochs=shared.total_epochs,
        seconds=shared.timeout,
        replicates=shared.replicates,
        terms=_terms(first, settings.pruner),
        created=now(),
    )
    command = command_line(rules.seed)
    rules = _joined(recorded, replace(rules, commands=(command,) if command else ()))
    return Tournament(rules=rules, folder=folder, bouts=tuple(_bouts(rules, plans, repeats, folder)))


def pack_all(tournament: Tournament, watch: Watch) -> Tournament:
    """Returns the tournament with the packing of its trials decided, the same for all studies.

    Args:
        tournament: What is done; one that was begun keeps its own.
        watch: Who hears of a measurement.
    """
    first = tournament.bouts[0].plan
    packing = pack(first, StudyRecord(header=first.header, trials=()), watch).packing
    bouts = tuple(replace(bout, plan=bout.plan.packed(packing)) for bout in tournament.bouts)
    terms = {**tournament.rules.terms, "workers": packing.layout.workers, "threads": packing.layout.threads}
    return replace(tournament, rules=replace(tournament.rules, terms=terms), bouts=bouts)


def choose(engines: Sequence[str], pruner: str | None) -> list[EngineChoice]:
    """Returns the engines; the pruner goes to those that have it, the others keep their default.

    Raises:
        UserError: One is unknown or stands twice, there is none, or none has the pruner.
    """
    if not engines:
        raise UserError("There is no engine to compare. Received: --engines without a name.")
    known = [choose_engine(text) for text in engines]
    having = [choice for choice in known if pruner in ENGINES[choice.engine].pruners]
    if pruner is not None and not having:
        choose_engine(engines[0], pruner=pruner)  # says which pruners there are
    names = [choice.name for choice in known]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"An engine can enter once. Received: {twice} twice in --engines {','.join(engines)}.")
    return [replace(choice, pruner=pruner) if pruner and choice in having else choice for choice in known]


def name_of(plan: Plan) -> str:
    """Returns a tournament's name from what it does: "compare-mnist-cnn"."""
    nobody = replace(plan.settings, engine=NO_ENGINE)
    return f"compare-{default_name(nobody, plan.task.dataset, plan.header.space).removesuffix('-baseline')}"


def repeat_seed(seed: int, repeat: int) -> int:
    """Returns the seed of all studies of one repeat, in [0, 2**31)."""
    return int(np.random.SeedSequence([seed, _REPEATS_STREAM, repeat]).generate_state(1)[0]) >> 1


def _bounded(settings: Settings) -> Settings:
    """Returns the settings with the one budget that is given, trials turned into epochs.

    Raises:
        UserError: Two are given, or one that trains nothing.
    """
    given = {"--budget": settings.timeout, "--trials": settings.trials, "--total-epochs": settings.total_epochs}
    amounts = {name: amount for name, amount in given.items() if amount is not None} or {"--trials": DEFAULT_TRIALS}
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


def _plan(settings: Settings, choice: EngineChoice) -> Plan:
    """Returns the plan of an engine's studies; making it imports the engine's library, so that no clock counts that."""
    seed = settings.seed or 0
    return make_plan(replace(settings, engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner, seed=seed))


def _packed_as(plan: Plan, recorded: Rules | None) -> Plan:
    """Returns the plan packed as the tournament was that it goes on with, where the options leave that open."""
    terms = recorded.terms if recorded else {}
    if plan.packing.basis is not Basis.OPEN or not {"workers", "threads"} <= terms.keys():
        return plan
    layout = Layout(terms["workers"], terms["threads"])
    return plan.packed(Packing(layout=layout, basis=Basis.RECORDED, note=SAME_BITS))


def _terms(plan: Plan, pruner: str | None) -> dict[str, object]:
    """Returns what else must be equal in all studies of a tournament, whenever they are run."""
    header, runtime = plan.header, plan.task.runtime
    return {
        "space": header.space.to_json(),
        "space_source": header.space_source,
        "protocol": header.protocol.to_json(),
        "pruner": pruner or "each engine's own",
        "workers": plan.workers,
        "threads": runtime.threads,
        "ordered": plan.settings.ordered,
        "backend": runtime.backend.value,
        "device": runtime.device.value,
        "deterministic": runtime.deterministic,
        "precision": runtime.precision.value,
    }


def _seed(settings: Settings, recorded: Rules | None) -> int:
    if settings.seed is not None:
        return settings.seed
    return recorded.seed if recorded else seeds.draw()


def _joined(recorded: Rules | None, wanted: Rules) -> Rules:
    """Returns the recorded rules with the engines and repeats that are new.

    Raises:
        UserError: They are another tournament's; the message names the differences.
    """
    if recorded is None:
        return wanted
    if differing := recorded.differences(wanted):
        raise UserError(
            f"Tournament {recorded.name!r} exists and is another one. It differs in {'; '.join(differing[:4])}.",
            hint="Give this one a name of its own with --name NAME, or repeat the recorded options.",
        )
    new = tuple(engine for engine in wanted.engines if engine not in recorded.engines)
    if not new and wanted.repeats <= recorded.repeats:
        return recorded
    return replace(
        recorded,
        engines=recorded.engines + new,
        repeats=max(recorded.repeats, wanted.repeats),
        commands=recorded.commands + wanted.commands,
    )


def _bouts(rules: Rules, plans: dict[str, Plan], repeats: int, folder: Path) -> Iterator[Bout]:
    """Yields the studies in the order in which they are run."""
    turns = [(repeat, engine) for repeat in range(repeats) for engine in plans]
    for place, (repeat, engine) in enumerate(turns, 1):
        shared = plans[engine]
        header = replace(
            shared.header,
            name=study_name(engine, repeat),
            seed=repeat_seed(rules.seed, repeat),
            command=command_line(rules.seed),
        )
        plan = replace(shared, header=header, place=replace(shared.place, studies_dir=folder))
        yield Bout(place=place, of=len(turns), engine=engine, repeat=repeat, repeats=repeats, plan=plan)
