"""All the trials of one device: sorted into populations by the program they share, trained in turns, each to its end.

Order of calls::

    [measure] -> add ... add -> advance -> [add] -> advance ...

Each ``advance`` trains the population of the oldest trial for an epoch. A trial may join one that is under way: members
need not stand at the same epoch. Where the memory does not hold a population, half of it waits. Knows no executor.
Called by the worker.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from search.training import checkpoint
from search.training.attempt import Attempt, is_out_of_memory
from search.training.epochs import Hooks
from search.training.network import make_network, plain_network
from search.training.phases import open_phase
from search.training.population.convolution import Form, is_simple
from search.training.population.member import Member, make_member
from search.training.population.memory import free_bytes
from search.training.population.population import Loaded, Population, load
from search.training.population.program import Program
from search.training.population.sizing import fitting
from search.training.population.yardsticks import fastest, widening_pays
from search.training.task import Task
from search.training.trainer import CHECKPOINT_SECONDS
from search.trial import Config, Outcome, Phase, State, Trial
from spaces import registry

MOST_PROGRAMS = 8
"""Programs that are kept in memory though nobody needs them now."""


class Pool:
    """Trains the trials of one study on one device.

    Args:
        task: What the trials share.
        most: Trials that there may be at a time.
        checkpoint_seconds: Least time between two checkpoints of a trial, for each that is trained with it.
        memory: Bytes that a program may take; None for what is measured to be free.
        widen: Whether trials of other widths and batch sizes share a program; None for what pays by measurement.
    """

    def __init__(
        self,
        task: Task,
        *,
        most: int,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        memory: int | None = None,
        widen: bool | None = None,
    ) -> None:
        self._task, self._most, self._checkpoint_seconds = task, most, checkpoint_seconds
        self._memory, self._widen = memory, widen
        self._environment = task.runtime.configure()
        self._folder = Path(task.dataset.folder).parents[1] / "programs"
        keep_programs(self._folder)
        build = registry.load(task.space_source).build
        assert build is not None, "a space that was loaded from its source has a builder"
        self._build = build
        self._phases: dict[Phase, Loaded] = {}
        self._members: list[Member] = []
        self._populations: dict[str, Population] = {}
        self._limits: dict[str, int] = {}
        self._pays: dict[Form | None, bool] = {}

    def __len__(self) -> int:
        """Returns how many trials there are."""
        return len(self._members)

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that are kept, oldest first."""
        return tuple(population.program for population in self._populations.values())

    def add(self, trial: Trial, hooks: Hooks) -> Outcome | None:
        """Takes in a trial; returns its outcome where it cannot even be built."""
        try:
            images = self._loaded(trial.phase).images
            shares = self._shares if trial.phase is Phase.SEARCH else lambda _: False  # else mostly seeds of one trial
            member = make_member(trial, hooks, self._build, images, task=self._task, shares=shares)
            member.begin(self._population(member).program)
        except Exception as error:  # noqa: BLE001 - a trial's failure must not end the search
            return Attempt().failed(error, self._environment)
        self._members.append(member)
        return None

    def measure(self, config: Config, phase: Phase, count: int) -> int:
        """Has no more trials at a time than the memory holds of a configuration, and returns how many.

        Called before there are any. Larger ones than that are halved as ever.

        Args:
            config: Trained for a step or two.
            phase: What the trials are to be run for.
            count: Members that it is measured with.
        """
        trial = Trial(number=0, config=config, seed=0, epochs=self._task.protocol.epochs, phase=phase)
        if self.add(trial, Hooks()) is None:  # else every trial like it will say what is wrong
            member = self._members.pop()
            free = self._memory or free_bytes()
            found = fitting(self._populations[member.key], member, count=min(count, self._most), free=free)
            self._most = min(self._most, found)
        return self._most

    def advance(self) -> list[tuple[Trial, Outcome]]:
        """Trains the population of the oldest trial for an epoch, and returns the trials that have ended."""
        for member in self._members:
            member.cause = member.cause or member.hooks.should_stop()
        if ended := self._ended():
            return ended
        key = self._members[0].key
        members = [one for one in self._members if one.key == key][: self._limits.get(key, self._most)]
        population = self._populations[key]
        before = {member: member.epoch for member in members}
        try:
            population.arrange(members)
            population.advance(lambda: self._look(members))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(members, error)
        for member in members:
            if member.epoch > before[member]:
                member.together = max(member.together, len(members))
                self._tell(member, population, members)
        return self._ended()

    def _look(self, members: list[Member]) -> bool:
        """Asks whether members must stop; returns whether anybody is left to be trained for."""
        for member in members:
            member.cause = member.cause or member.hooks.should_stop()
        return any(member.cause is None for member in members)

    def _fail(self, members: list[Member], error: Exception) -> None:
        """Makes do with half of the members where memory did not suffice; else all of them have failed."""
        if is_out_of_memory(error) and len(members) > 1:
            self._limits[members[0].key] = len(members) // 2
            return
        for member in members:
            member.error = member.error or error

    def _tell(self, member: Member, population: Population, members: list[Member]) -> None:
        """Leaves a member's state where it is wanted, and reports its last epoch."""
        trial, attempt, place = member.trial, member.attempt, members.index(member)
        # The states of many are as much to write as they are many.
        is_due = time.perf_counter() - member.saved >= self._checkpoint_seconds * len(members)
        if (path := checkpoint.place(trial, member.epoch, is_due=is_due)) is not None:
            arrays = member.arrays(population.program, population.state_of(place))
            checkpoint.leave(arrays, attempt, path)
            member.saved = time.perf_counter()
        member.hooks.report(attempt.history[-1])
        if member.epoch < trial.last_epoch:
            return
        if trial.model_to is not None:
            self._save_model(member, population, place, trial.model_to)
        if trial.predictions_to is not None and trial.last_epoch == trial.epochs:
            attempt.keep_predictions(Path(trial.predictions_to))

    def _save_model(self, member: Member, population: Population, place: int, path: str) -> None:
        """Writes a member's network as the trainer would have."""
        pixels = self._loaded(member.trial.phase).images.fit
        classes, precision = self._task.dataset.classes, self._task.runtime.precision
        model = make_network(self._build, member.config, pixels, classes=classes, seed=0, precision=precision)
        arrays = member.arrays(population.program, population.state_of(place))
        for variable, array in zip(model.variables, arrays, strict=False):
            variable.assign(array)
        plain_network(self._build, member.config, pixels, trained=model, precision=precision).save(path)

    def _ended(self) -> list[tuple[Trial, Outcome]]:
        """Returns the members that need no further epoch, and forgets them."""
        ended = [(member, outcome) for member in self._members if (outcome := self._outcome(member)) is not None]
        for member, _ in ended:
            self._members.remove(member)
        wanted = {member.key for member in self._members}
        idle = [key for key in self._populations if key not in wanted]
        for key in idle:
            self._populations[key].rest()
        for key in idle[:-MOST_PROGRAMS]:
            del self._populations[key]
        return [(member.trial, outcome) for member, outcome in ended]

    def _outcome(self, member: Member) -> Outcome | None:
        trial, attempt = member.trial, member.attempt
        environment = {**self._environment, "deterministic": False, "population": member.together}
        if member.error is not None:
            return attempt.failed(member.error, environment)
        if member.epoch >= trial.last_epoch:
            state = State.PAUSED if trial.last_epoch < trial.epochs else State.COMPLETE
            return attempt.outcome(state, environment, message=attempt.unsaved)
        if member.cause is not None:
            message = attempt.unsaved or member.cause.value
            return attempt.outcome(State.INTERRUPTED, environment, cause=member.cause, message=message)
        return None

    def _loaded(self, phase: Phase) -> Loaded:
        if phase not in self._phases:
            self._phases[phase] = load(open_phase(phase, self._task))
        self._phases[phase].images.verify()
        return self._phases[phase]

    def _population(self, member: Member) -> Population:
        if member.key not in self._populations:
            form = self._form(member.model) or Form.GROUPED
            program = Program(member.model, member.config, member.room, form=form, memory=self._memory)
            self._populations[member.key] = Population(program, self._loaded(member.trial.phase), self._most)
        return self._populations[member.key]

    def _shares(self, model: Any) -> bool:  # noqa: ANN401 - Keras model
        """Says whether a network is trained with others of other widths and batch sizes."""
        if self._widen is not None:
            return self._widen
        form = self._form(model)
        if form not in self._pays:
            self._pays[form] = widening_pays(self._folder, form)
        return self._pays[form]

    def _form(self, model: Any) -> Form | None:  # noqa: ANN401 - Keras model
        """Returns how a network's convolutions are computed; None where it has none."""
        return self._fastest if any(map(is_simple, model.layers)) else None

    @cached_property
    def _fastest(self) -> Form:
        return fastest(self._folder)


def keep_programs(folder: Path) -> None:
    """Has JAX keep compiled programs in a folder, 2 GiB at most, and take them from there."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", 2 * 2**30)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
