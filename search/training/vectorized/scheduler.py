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
from search.training.epochs import Hooks
from search.training.network import make_inference_network, make_network
from search.training.phase_images import open_phase_images
from search.training.run_state import RunState, is_out_of_memory
from search.training.task import Task
from search.training.trainer import CHECKPOINT_SECONDS
from search.training.vectorized.autotune import fastest_convolution, is_padding_faster
from search.training.vectorized.capacity import measure_capacity
from search.training.vectorized.convolution import ConvolutionMethod, is_supported_convolution
from search.training.vectorized.member import Member, make_member
from search.training.vectorized.memory import free_bytes
from search.training.vectorized.population import DevicePhaseImages, Population, copy_to_device
from search.training.vectorized.program import Program
from search.trial import Config, Outcome, Phase, State, Trial
from spaces import registry

MAX_IDLE_PROGRAMS = 8
"""Programs that are kept in memory though nobody needs them now."""


class PopulationScheduler:
    """Trains the trials of one study on one device.

    Args:
        task: What the trials share.
        max_members: Trials that there may be at a time.
        checkpoint_seconds: Least time between two checkpoints of a trial, for each that is trained with it.
        memory_limit: Bytes that a program may take; None for what is measured to be free.
        pad_widths: Whether trials of other widths and batch sizes share a program; None for what pays by measurement.
    """

    def __init__(
        self,
        task: Task,
        *,
        max_members: int,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        memory_limit: int | None = None,
        pad_widths: bool | None = None,
    ) -> None:
        self._task, self._max_members, self._checkpoint_seconds = task, max_members, checkpoint_seconds
        self._memory_limit, self._pad_widths = memory_limit, pad_widths
        self._environment = task.runtime.configure()
        self._program_cache = Path(task.dataset.folder).parents[1] / "programs"
        enable_compilation_cache(self._program_cache)
        build = registry.load(task.space_source).build
        assert build is not None, "a space that was loaded from its source has a builder"
        self._build = build
        self._device_images: dict[Phase, DevicePhaseImages] = {}
        self._members: list[Member] = []
        self._populations: dict[str, Population] = {}
        self._member_limits: dict[str, int] = {}
        self._is_padding_faster: dict[ConvolutionMethod | None, bool] = {}

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
            images = self._images_of(trial.phase).images
            should_pad = (
                self._should_pad if trial.phase is Phase.SEARCH else lambda _: False
            )  # else mostly seeds of one trial
            member = make_member(trial, hooks, self._build, images, task=self._task, should_pad=should_pad)
            member.initialize(self._population_of(member).program)
        except Exception as error:  # noqa: BLE001 - a trial's failure must not end the search
            return RunState().to_failed_outcome(error, self._environment)
        self._members.append(member)
        return None

    def measure_capacity(self, config: Config, phase: Phase, count: int) -> int:
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
            free = self._memory_limit or free_bytes()
            capacity = measure_capacity(
                self._populations[member.key], member, count=min(count, self._max_members), free_memory=free
            )
            self._max_members = min(self._max_members, capacity)
        return self._max_members

    def train_epoch(self) -> list[tuple[Trial, Outcome]]:
        """Trains the population of the oldest trial for an epoch, and returns the trials that have ended."""
        for member in self._members:
            member.cause = member.cause or member.hooks.should_stop()
        if ended := self._pop_ended():
            return ended
        key = self._members[0].key
        members = [one for one in self._members if one.key == key][: self._member_limits.get(key, self._max_members)]
        population = self._populations[key]
        before = {member: member.epoch for member in members}
        try:
            population.stack(members)
            population.train_epoch(lambda: self._poll_stop_requests(members))
        except Exception as error:  # noqa: BLE001 - as above
            self._handle_failure(members, error)
        for member in members:
            if member.epoch > before[member]:
                member.largest_population = max(member.largest_population, len(members))
                self._save_and_report(member, population, members)
        return self._pop_ended()

    def _poll_stop_requests(self, members: list[Member]) -> bool:
        """Asks whether members must stop; returns whether anybody is left to be trained for."""
        for member in members:
            member.cause = member.cause or member.hooks.should_stop()
        return any(member.cause is None for member in members)

    def _handle_failure(self, members: list[Member], error: Exception) -> None:
        """Makes do with half of the members where memory did not suffice; else all of them have failed."""
        if is_out_of_memory(error) and len(members) > 1:
            self._member_limits[members[0].key] = len(members) // 2
            return
        for member in members:
            member.error = member.error or error

    def _save_and_report(self, member: Member, population: Population, members: list[Member]) -> None:
        """Leaves a member's state where it is wanted, and reports its last epoch."""
        trial, run_state, index = member.trial, member.run_state, members.index(member)
        # The states of many are as much to write as they are many.
        is_due = time.perf_counter() - member.last_saved_at >= self._checkpoint_seconds * len(members)
        if (path := checkpoint.due_checkpoint_path(trial, member.epoch, is_interval_over=is_due)) is not None:
            arrays = member.checkpoint_arrays(population.program, population.state_of(index))
            checkpoint.save(arrays, run_state, path)
            member.last_saved_at = time.perf_counter()
        member.hooks.report(run_state.history[-1])
        if member.epoch < trial.last_epoch:
            return
        if trial.model_to is not None:
            self._save_model(member, population, index, trial.model_to)
        if trial.predictions_to is not None and trial.last_epoch == trial.epochs:
            run_state.save_predictions(Path(trial.predictions_to))

    def _save_model(self, member: Member, population: Population, index: int, path: str) -> None:
        """Writes a member's network as the trainer would have."""
        pixels = self._images_of(member.trial.phase).images.training_images
        classes, precision = self._task.dataset.classes, self._task.runtime.precision
        model = make_network(self._build, member.config, pixels, classes=classes, seed=0, precision=precision)
        arrays = member.checkpoint_arrays(population.program, population.state_of(index))
        for variable, array in zip(model.variables, arrays, strict=False):
            variable.assign(array)
        make_inference_network(self._build, member.config, pixels, trained_model=model, precision=precision).save(path)

    def _pop_ended(self) -> list[tuple[Trial, Outcome]]:
        """Returns the members that need no further epoch, and forgets them."""
        ended = [(member, outcome) for member in self._members if (outcome := self._outcome(member)) is not None]
        for member, _ in ended:
            self._members.remove(member)
        active_keys = {member.key for member in self._members}
        idle = [key for key in self._populations if key not in active_keys]
        for key in idle:
            self._populations[key].release()
        for key in idle[:-MAX_IDLE_PROGRAMS]:
            del self._populations[key]
        return [(member.trial, outcome) for member, outcome in ended]

    def _outcome(self, member: Member) -> Outcome | None:
        trial, run_state = member.trial, member.run_state
        environment = {**self._environment, "deterministic": False, "population": member.largest_population}
        if member.error is not None:
            return run_state.to_failed_outcome(member.error, environment)
        if member.epoch >= trial.last_epoch:
            state = State.PAUSED if trial.last_epoch < trial.epochs else State.COMPLETE
            return run_state.to_outcome(state, environment, message=run_state.save_error)
        if member.cause is not None:
            message = run_state.save_error or member.cause.value
            return run_state.to_outcome(State.INTERRUPTED, environment, cause=member.cause, message=message)
        return None

    def _images_of(self, phase: Phase) -> DevicePhaseImages:
        if phase not in self._device_images:
            self._device_images[phase] = copy_to_device(open_phase_images(phase, self._task))
        self._device_images[phase].images.verify()
        return self._device_images[phase]

    def _population_of(self, member: Member) -> Population:
        if member.key not in self._populations:
            method = self._convolution_method(member.model) or ConvolutionMethod.GROUPED
            program = Program(
                member.model, member.config, member.program_shape, method=method, memory_limit=self._memory_limit
            )
            self._populations[member.key] = Population(program, self._images_of(member.trial.phase), self._max_members)
        return self._populations[member.key]

    def _should_pad(self, model: Any) -> bool:
        """Says whether a network is trained with others of other widths and batch sizes."""
        if self._pad_widths is not None:
            return self._pad_widths
        method = self._convolution_method(model)
        if method not in self._is_padding_faster:
            self._is_padding_faster[method] = is_padding_faster(self._program_cache, method)
        return self._is_padding_faster[method]

    def _convolution_method(self, network: Any) -> ConvolutionMethod | None:
        """Returns how a network's convolutions are computed; None where it has none."""
        return self._fastest_convolution if any(map(is_supported_convolution, network.layers)) else None

    @cached_property
    def _fastest_convolution(self) -> ConvolutionMethod:
        return fastest_convolution(self._program_cache)


def enable_compilation_cache(folder: Path) -> None:
    """Has JAX keep compiled programs in a folder, 2 GiB at most, and take them from there."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", 2 * 2**30)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
