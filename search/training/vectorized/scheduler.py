"""The trials of one device: grouped into populations by the program they share, and trained by turns.

Order of calls::

    [measure_capacity] -> add ... add -> train_epoch -> [add] -> train_epoch ...

``train_epoch`` trains the population of the oldest trial. A trial may join a population at any epoch. If a population
does not fit into memory, half of it waits. Called by the worker of the vectorized executor.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax

from search.training import checkpoint
from search.training.backends import configure_backend
from search.training.epochs import Hooks
from search.training.network import make_network
from search.training.run_state import RunState, is_out_of_memory
from search.training.task import PhaseImages, Task, open_phase_images
from search.training.trainer import CHECKPOINT_SECONDS, save_results
from search.training.vectorized.convolution import ConvolutionMethod, fastest_convolution, is_supported_convolution
from search.training.vectorized.member import Member, make_member
from search.training.vectorized.population import Population, copy_to_device
from search.training.vectorized.program import DeviceImages, Program, free_bytes
from search.trial import DETERMINISTIC_KEY, NO_FILES, POPULATION_KEY, Config, Outcome, Phase, Trial, TrialFiles
from spaces import registry

MAX_IDLE_PROGRAMS = 8
"""Most programs kept in memory while no trial needs them."""


class PopulationScheduler:
    """Trains the trials of one study on one device.

    Args:
        task: What the trials share.
        max_members: Most trials at a time.
        checkpoint_seconds: Least seconds between two checkpoints of a trial, times the trials of its population.
        memory_limit: Bytes that a program may use; None to query the device.
    """

    def __init__(
        self,
        task: Task,
        *,
        max_members: int,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        memory_limit: int | None = None,
    ) -> None:
        self._task, self._max_members, self._checkpoint_seconds = task, max_members, checkpoint_seconds
        self._memory_limit = memory_limit
        self._environment = configure_backend(task.runtime)
        self._program_cache = Path(task.dataset.folder).parents[1] / "programs"
        jax.config.update("jax_compilation_cache_dir", str(self._program_cache))
        jax.config.update("jax_compilation_cache_max_size", 2 * 2**30)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        self._build = registry.load_builder(task.space_source)
        self._images: dict[Phase, tuple[PhaseImages, DeviceImages]] = {}
        self._members: list[Member] = []
        self._populations: dict[str, Population] = {}
        self._member_limits: dict[str, int] = {}
        self._convolution_method: ConvolutionMethod | None = None

    def __len__(self) -> int:
        """Returns how many trials there are."""
        return len(self._members)

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that are kept, oldest first."""
        return tuple(population.program for population in self._populations.values())

    def add(self, trial: Trial, hooks: Hooks, files: TrialFiles = NO_FILES) -> Outcome | None:
        """Adds a trial; returns its outcome if it cannot be built, else None."""
        try:
            images, _ = self._images_of(trial.phase)
            member = make_member(trial, files, hooks, self._build, images, task=self._task)
            member.initialize(self._population_of(member).program)
        except Exception as error:  # noqa: BLE001 - a trial's failure must not end the search
            return RunState().finish(trial, self._environment, error=error)
        self._members.append(member)
        return None

    def measure_capacity(self, config: Config, phase: Phase, count: int) -> int:
        """Limits the trials at a time to how many of a configuration the memory holds; returns that number.

        To be called before any trial is added. Populations of larger networks are still halved when they do not fit.

        Args:
            config: Trained for a step or two.
            phase: The phase of the trials.
            count: Members to measure with.
        """
        trial = Trial(number=0, config=config, seed=0, epochs=self._task.protocol.epochs, phase=phase)
        if self.add(trial, Hooks()) is None:  # else the trials themselves report the error
            member = self._members.pop()
            capacity = self._populations[member.key].measure_capacity(
                member, count=min(count, self._max_members), free_memory=self._memory_limit or free_bytes()
            )
            self._max_members = min(self._max_members, capacity)
        return self._max_members

    def train_epoch(self) -> list[tuple[Trial, Outcome]]:
        """Trains the population of the oldest trial for an epoch; returns the trials that have ended."""
        _poll_stop_requests(self._members)
        if ended := self._pop_ended():
            return ended
        key = self._members[0].key
        members = [member for member in self._members if member.key == key][
            : self._member_limits.get(key, self._max_members)
        ]
        population = self._populations[key]
        before = {member: member.epoch for member in members}
        try:
            population.stack(members)
            population.train_epoch(lambda: _poll_stop_requests(members))
        except Exception as error:  # noqa: BLE001 - as above
            self._handle_failure(members, error)
        for member in members:
            if member.epoch > before[member]:
                member.largest_population = max(member.largest_population, len(members))
                try:
                    self._save_and_report(member, population, members)
                except Exception as error:  # noqa: BLE001 - as above
                    member.error = error
        return self._pop_ended()

    def _handle_failure(self, members: list[Member], error: Exception) -> None:
        """Halves a population that ran out of memory; on any other error all of its members have failed."""
        if is_out_of_memory(error) and len(members) > 1:
            self._member_limits[members[0].key] = len(members) // 2
            return
        for member in members:
            member.error = member.error or error

    def _save_and_report(self, member: Member, population: Population, members: list[Member]) -> None:
        """Saves and reports a member's last epoch."""
        trial, run_state, index = member.trial, member.run_state, members.index(member)
        is_due = time.perf_counter() - member.last_saved_at >= self._checkpoint_seconds * len(members)
        if (
            path := checkpoint.due_checkpoint_path(trial, member.files, member.epoch, is_interval_over=is_due)
        ) is not None:
            arrays = member.checkpoint_arrays(population.program, population.state_of(index))
            checkpoint.save(arrays, run_state, path)
            member.last_saved_at = time.perf_counter()
        member.hooks.report(run_state.history[-1])
        if member.epoch == trial.last_epoch:
            pixels = self._images_of(trial.phase)[0].training_images

            def trained_model() -> Any:
                classes, precision = self._task.dataset.classes, self._task.runtime.precision
                model = make_network(self._build, member.config, pixels, classes=classes, seed=0, precision=precision)
                arrays = member.checkpoint_arrays(population.program, population.state_of(index))
                for variable, array in zip(model.variables, arrays, strict=False):
                    variable.assign(array)
                return model

            save_results(trial, member.files, run_state, self._task, self._build, pixels, trained_model)

    def _pop_ended(self) -> list[tuple[Trial, Outcome]]:
        """Removes the members that need no further epoch; returns their trials and outcomes."""
        ended = [member for member in self._members if member.is_finished]
        self._members = [member for member in self._members if not member.is_finished]
        active_keys = {member.key for member in self._members}
        idle = [key for key in self._populations if key not in active_keys]
        for key in idle:
            self._populations[key].release()
        for key in idle[:-MAX_IDLE_PROGRAMS]:
            del self._populations[key]
        return [(member.trial, self._outcome(member)) for member in ended]

    def _outcome(self, member: Member) -> Outcome:
        environment = {**self._environment, DETERMINISTIC_KEY: False, POPULATION_KEY: member.largest_population}
        cause = member.cause if member.epoch < member.trial.last_epoch else None
        return member.run_state.finish(member.trial, environment, error=member.error, cause=cause)

    def _images_of(self, phase: Phase) -> tuple[PhaseImages, DeviceImages]:
        """Returns the images of a phase, opened the first time and verified each time."""
        if phase not in self._images:
            (images,) = open_phase_images(phase, self._task)  # a plan with folds is refused
            self._images[phase] = images, copy_to_device(images)
        self._images[phase][0].verify()
        return self._images[phase]

    def _population_of(self, member: Member) -> Population:
        if member.key not in self._populations:
            method = ConvolutionMethod.GROUPED
            if any(map(is_supported_convolution, member.model.layers)):
                method = self._convolution_method = self._convolution_method or fastest_convolution(self._program_cache)
            images = self._images_of(member.trial.phase)
            program = Program(
                member.model,
                member.config,
                method=method,
                memory_limit=self._memory_limit,
                class_weights=images[0].class_weights,
            )
            self._populations[member.key] = Population(program, *images, self._max_members)
        return self._populations[member.key]


def _poll_stop_requests(members: list[Member]) -> bool:
    """Records which members must stop; returns whether any may continue."""
    for member in members:
        member.cause = member.cause or member.hooks.should_stop()
    return any(member.cause is None for member in members)
