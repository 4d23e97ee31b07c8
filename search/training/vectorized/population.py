"""The members of one program, stacked: trains all of them for an epoch at a time.

A call of the program trains as many steps as take about half a second; then stop requests are polled. The state from
before an epoch is kept until the epoch ends, so an epoch that ran out of memory can be repeated with fewer members.
Called by the scheduler.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from search.training.epochs import check_probabilities, cross_entropy, steps_per_epoch
from search.training.run_state import NonFiniteLoss, is_out_of_memory
from search.training.task import PhaseImages
from search.training.vectorized.member import Member
from search.training.vectorized.program import DeviceImages, Program, ProgramState
from search.trial import EpochReport, Phase

POLL_SECONDS = 0.5
"""About the time between two polls for stop requests."""
INITIAL_STEPS = 2
"""Steps of the first call, whose duration is unknown."""
MAX_SCORED_VALUES = 8_000_000
"""Pixel values that all members together evaluate at once."""


def copy_to_device(images: PhaseImages) -> DeviceImages:
    """Copies a phase's training images and labels to the device, where they stay."""
    pixels = images.training_images[np.arange(len(images.training_images))]
    return DeviceImages(jax.numpy.asarray(pixels), jax.numpy.asarray(images.training_labels, dtype=np.int32))


def stack_size(members: int, current: int, max_members: int) -> int:
    """Returns the number of rows of a stack: a power of two; unchanged while at least half of the rows are used.

    Args:
        members: How many there are.
        current: The rows now.
        max_members: Most members at a time; the rows of a full stack.
    """
    if current / 2 < members <= current:
        return current
    return int(min(2 ** math.ceil(math.log2(members)), max(max_members, members)))


class Population:
    """The members of one program.

    Args:
        program: The program.
        images: The images of their phase.
        device_images: Its training images on the device.
        max_members: Most members at a time.
    """

    def __init__(self, program: Program, images: PhaseImages, device_images: DeviceImages, max_members: int) -> None:
        self.program, self._images, self._device_images = program, images, device_images
        self._max_members = max_members
        self._members: list[Member] = []
        self._state: ProgramState = {}
        self._stack_size, self._steps_per_call = 0, INITIAL_STEPS

    def stack(self, members: Sequence[Member]) -> None:
        """Makes the stack hold these members; returns the state of all others to them."""
        if list(members) == self._members:
            return
        kept = set(members) if set(members) <= set(self._members) else set[Member]()
        for row, member in enumerate(self._members):
            if member not in kept and not member.is_finished:
                member.state = self.state_of(row)
        size = stack_size(len(members), self._stack_size, self._max_members)
        rows = _fill_stack(members, size)
        if kept:
            indices = {member: row for row, member in enumerate(self._members)}
            self._state = _take(self._state, np.array([indices[member] for member in rows]))
        else:
            self._state = jax.device_put(jax.tree.map(lambda *own: np.stack(own), *(member.state for member in rows)))
        self._members, self._stack_size = list(members), size
        for member in members:
            member.state = None

    def release(self) -> None:
        """Frees the stack's memory; its members must be finished."""
        self._members, self._state, self._stack_size = [], {}, 0

    def state_of(self, row: int) -> ProgramState:
        """Returns the state of one member, on the host."""
        state: ProgramState = jax.tree.map(np.asarray, _take(self._state, row))
        return state

    def train_epoch(self, should_continue: Callable[[], bool]) -> None:
        """Trains and evaluates an epoch, and records it in each member's run state.

        Sets the error of a member whose loss is not finite.

        Args:
            should_continue: Polled about twice a second; if False, the epoch is abandoned and nothing is recorded.
        """
        timer = EpochTimer(self.program)
        trained = self._fit(should_continue)
        timer.lap("fit")
        if trained is None:
            return
        state, losses = trained
        is_scored = len(self._images.evaluation_images) > 0 and any(map(self._needs_scoring, self._members))
        scores = self._predict(state) if is_scored else None
        timer.lap("evaluate")
        self._images.verify()  # before the epoch is reported
        self._state = state
        seconds_per_member = {part: seconds / len(self._members) for part, seconds in timer.seconds.items()}
        for row, member in enumerate(self._members):
            for part, seconds in seconds_per_member.items():
                member.run_state.seconds[part] += seconds
            probabilities = scores[row] if scores is not None and self._needs_scoring(member) else None
            try:
                self._record_epoch(member, float(losses[row]), probabilities, sum(seconds_per_member.values()))
            except (NonFiniteLoss, ValueError) as error:
                member.error = error

    def measure_capacity(self, member: Member, *, count: int, free_memory: int) -> int:
        """Returns how many members like one the device holds, a power of two; 1 if not even one fits.

        Trains a few members for a step or two, which also compiles the program for the first trials. Returns
        ``count`` if they cannot be trained for another reason than memory; the trials themselves then report it.

        Args:
            member: A member before its first step.
            count: How many to measure with; halved as long as they do not fit.
            free_memory: Free bytes of the device.
        """
        while True:
            try:
                self.stack([dataclasses.replace(member) for _ in range(count)])
                self._fit(lambda: False)
                self._predict(self._state)
                capacity = self.program.max_members(count, free_memory)
            except Exception as error:  # noqa: BLE001 - the trials themselves report it
                if count == 1 or not is_out_of_memory(error):
                    return count
            else:
                return int(2 ** math.floor(math.log2(capacity)))
            finally:
                self.release()
            count //= 2

    def _fit(self, should_continue: Callable[[], bool]) -> tuple[ProgramState, np.ndarray] | None:
        """Returns the state after an epoch and the mean training loss of each row; None if it was abandoned."""
        rows, count = _fill_stack(self._members, self._stack_size), len(self._device_images.labels)
        augmented_steps = np.array([member.augmented_steps(count) for member in rows])
        state = self._state
        values = jax.tree.map(lambda *own: np.stack(own), *(member.traced_values for member in rows))
        losses = np.zeros(len(rows))
        start = 0  # step of the epoch at which the plan begins
        for plan in map(jax.device_put, epoch_plans(rows, count, pads_last_batch=self.program.pads_last_batch)):
            first, steps = 0, len(plan["rates"])
            while first < steps:
                is_augmented = augmented_steps > start + first
                cuts = augmented_steps[is_augmented] - start
                last, started = min([first + self._steps_per_call, steps, *cuts]), time.perf_counter()
                state = self.program.with_augmentation(state, is_augmented.astype(np.float32))
                state, sums = self.program.train(state, values, plan, self._device_images, (first, last))
                losses += np.asarray(sums, np.float64)
                self._steps_per_call = max(1, round(POLL_SECONDS * (last - first) / (time.perf_counter() - started)))
                first = last
                if not should_continue():
                    return None
            start += steps
        return state, losses / count

    def _predict(self, state: ProgramState) -> np.ndarray:
        """Returns the probabilities of the evaluation images for each row, (rows, images, classes)."""
        pixels = self._images.evaluation_images
        at_once = max(1, MAX_SCORED_VALUES // (math.prod(pixels.shape[1:]) * self._stack_size))
        size = math.ceil(len(pixels) / math.ceil(len(pixels) / at_once))
        chunks = []
        for first in range(0, len(pixels), size):
            batch = pixels[first : first + size]
            padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
            chunks.append(np.asarray(self.program.predict(state, padded)))
        return np.concatenate(chunks, axis=1)[:, : len(pixels)]

    def _needs_scoring(self, member: Member) -> bool:
        return self._images.evaluate_every_epoch or member.epoch == member.trial.epochs - 1

    def _record_epoch(
        self, member: Member, training_loss: float, probabilities: np.ndarray | None, seconds: float
    ) -> None:
        """Adds an epoch to a member's run state."""
        if not math.isfinite(training_loss):
            raise NonFiniteLoss
        metrics: dict[str, float] = {}
        if probabilities is not None:
            check_probabilities(probabilities)
            labels = self._images.evaluation_labels
            metrics = member.run_state.record_evaluation(
                cross_entropy(probabilities, labels),
                probabilities,
                labels,
                keep_misclassified=member.trial.phase is not Phase.SEARCH,
            )
        report = EpochReport(
            epoch=member.epoch + 1,
            training_loss=training_loss,
            metrics=metrics,
            seconds=round(seconds, 4),
        )
        member.run_state.history.append(report)


class EpochTimer:
    """Measures the parts of an epoch; compilation counts as "build".

    Args:
        program: The program.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._compile_seconds, self._started_at = program, program.compile_seconds, time.perf_counter()
        self.seconds = {"build": 0.0}

    def lap(self, part: str) -> None:
        """Ends a part."""
        now, compile_seconds = time.perf_counter(), self._program.compile_seconds
        self.seconds["build"] += compile_seconds - self._compile_seconds
        self.seconds[part] = now - self._started_at - (compile_seconds - self._compile_seconds)
        self._started_at, self._compile_seconds = now, compile_seconds


def epoch_plans(members: Sequence[Member], images: int, *, pads_last_batch: bool) -> list[Mapping[str, np.ndarray]]:
    """Returns the arrays that ``Program.train`` takes for an epoch; two plans if the last batch has its own shape.

    As in Keras, a smaller last batch is trained on as it is.

    Args:
        members: The members, all of one batch size.
        images: Number of training images.
        pads_last_batch: Whether a smaller last batch is filled up and masked.
    """
    batch_size = members[0].config["batch_size"]
    steps, rest = steps_per_epoch(images, batch_size), images % batch_size
    orders = [np.random.default_rng((member.trial.seed, member.epoch)).permutation(images) for member in members]
    padded = np.pad(np.array(orders, np.int32), ((0, 0), (0, steps * batch_size - images)))
    count = np.full(steps, batch_size, np.int32)
    count[-1] = rest or batch_size
    plan = {
        "order": padded.reshape(len(members), steps, batch_size).swapaxes(0, 1),
        "count": count,
        "rates": np.stack(
            [member.learning_rates[member.epoch * steps : (member.epoch + 1) * steps] for member in members], axis=1
        ),
    }
    if pads_last_batch or not rest:
        return [plan]
    full, last = ({name: part[chosen] for name, part in plan.items()} for chosen in (slice(-1), slice(-1, None)))
    return [*([full] if steps > 1 else []), {**last, "order": last["order"][..., :rest]}]


def _fill_stack(members: Sequence[Member], size: int) -> list[Member]:
    """Returns the member of each row of a stack; the first one fills the rows that are not used."""
    return [*members, *[members[0]] * (size - len(members))]


@jax.jit  # type: ignore[untyped-decorator]
def _take(state: ProgramState, rows: Any) -> ProgramState:
    taken: ProgramState = jax.tree.map(lambda stacked: stacked[rows], state)
    return taken
