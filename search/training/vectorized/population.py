"""Members of one program, stacked: an epoch for all of them at a time, and what becomes of each.

A call trains so many steps as take about half a second, then looks at the outside world. The state of before an epoch
is kept until it is over, so that one that failed for want of memory can be trained again with fewer members.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from search.training.epochs import cross_entropy
from search.training.phase_images import PhaseImages
from search.training.run_state import NonFiniteLoss
from search.training.vectorized.member import Member
from search.training.vectorized.padding import ProgramShape
from search.training.vectorized.program import DeviceImages, Program, ProgramState
from search.trial import EpochReport, Phase

POLL_SECONDS = 0.5
"""About the time between two looks at the outside world."""
INITIAL_STEPS = 2
"""Steps of the first call, before it is known how long they take."""
MAX_SCORED_VALUES = 8_000_000
"""Pixel values that all members together score at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePhaseImages:
    """A phase's images, on the device.

    Args:
        images: As they were opened.
        fit: Trained on.
    """

    images: PhaseImages
    fit: DeviceImages


def copy_to_device(images: PhaseImages) -> DevicePhaseImages:
    """Copies a phase's images to the device, where they stay."""
    pixels = images.training_images[np.arange(len(images.training_images))]
    fit = DeviceImages(jax.numpy.asarray(pixels), jax.numpy.asarray(images.training_labels, dtype=np.int32))
    return DevicePhaseImages(images=images, fit=fit)


def stack_size(members: int, current: int, max_members: int) -> int:
    """Returns how many places a stack has: a power of two, and no other while at least half of them are taken.

    Args:
        members: How many there are.
        current: Its places now.
        max_members: Members that there may be, and places then.
    """
    if current / 2 < members <= current:
        return current
    return int(min(2 ** math.ceil(math.log2(members)), max(max_members, members)))


class Population:
    """Members of one program.

    Args:
        program: What they share.
        phase: The images of their phase.
        max_members: Members that there may be.
    """

    def __init__(self, program: Program, images: DevicePhaseImages, max_members: int) -> None:
        self.program, self._images, self._max_members = program, images, max_members
        self._members: list[Member] = []
        self._state: ProgramState = {}
        self._stack_size, self._steps_per_call = 0, INITIAL_STEPS

    def stack(self, members: Sequence[Member]) -> None:
        """Makes the stack hold these members; puts aside the state of those that are no longer among them."""
        if list(members) == self._members:
            return
        if set(members) <= set(self._members):
            self._keep_members(members)
            return
        self._unstack(self._members)
        self._stack_size = stack_size(len(members), self._stack_size, self._max_members)
        states = [member.state for member in _fill_stack(members, self._stack_size)]
        self._state = jax.device_put(jax.tree.map(lambda *own: np.stack(own), *states))
        self._members = list(members)
        for member in members:
            member.state = None

    def _keep_members(self, members: Sequence[Member]) -> None:
        """Drops members from the stack."""
        indices = {member: place for place, member in enumerate(self._members)}
        self._unstack([member for member in self._members if member not in set(members)])
        self._stack_size = stack_size(len(members), self._stack_size, self._max_members)
        rows = np.array([indices[member] for member in _fill_stack(members, self._stack_size)])
        self._state = _take(self._state, rows)
        self._members = list(members)

    def release(self) -> None:
        """Gives the stack back to the device, when nobody in it has anything left to do."""
        self._members, self._state, self._stack_size = [], {}, 0

    def _unstack(self, members: Sequence[Member]) -> None:
        for place, member in enumerate(self._members):
            if member in members and not member.is_finished:
                member.state = self.state_of(place)

    def state_of(self, index: int) -> ProgramState:
        """Returns the state of a member, on the host."""
        state: ProgramState = jax.tree.map(np.asarray, _take(self._state, index))
        return state

    def train_epoch(self, should_continue: Callable[[], bool]) -> None:
        """Trains and scores an epoch, and adds what came of it to each member's attempt.

        A member whose loss is no number has its error set.

        Args:
            should_continue: Asked about twice a second; where it says False, the epoch is left, and nothing is added.
        """
        timer = EpochTimer(self.program)
        trained = self._fit(should_continue)
        timer.lap("fit")
        if trained is None:
            return
        state, losses = trained
        scores = self._score(state) if any(self._needs_scoring(member) for member in self._members) else None
        timer.lap("evaluate")
        self._images.images.verify()  # before anybody hears of the epoch
        self._state = state
        seconds_per_member = {part: seconds / len(self._members) for part, seconds in timer.seconds.items()}
        for place, member in enumerate(self._members):
            for part, seconds in seconds_per_member.items():
                member.run_state.seconds[part] += seconds
            try:
                probabilities = scores[place] if scores is not None and self._needs_scoring(member) else None
                self._record_epoch(member, float(losses[place]), probabilities, sum(seconds_per_member.values()))
            except NonFiniteLoss as error:
                member.error = error

    def warm_up(self) -> None:
        """Trains a step or two and scores the images, so that its programs are compiled; nothing else comes of it."""
        self._fit(lambda: False)
        self._score(self._state)

    def _fit(self, should_continue: Callable[[], bool]) -> tuple[ProgramState, np.ndarray] | None:
        """Returns the state after an epoch, and each place's mean training loss; None where it was left."""
        members, count = _fill_stack(self._members, self._stack_size), len(self._images.fit.labels)
        strength = np.array([0.0 if one.is_augmentation_free else 1.0 for one in members], np.float32)
        state = self.program.with_augmentation(self._state, strength)
        values = jax.tree.map(lambda *own: np.stack(own), *(one.traced_values for one in members))
        losses = np.zeros(len(members))
        for plan in map(jax.device_put, epoch_plans(members, count, self.program.shape)):
            first, steps = 0, len(plan["rates"])
            while first < steps:
                last, began = min(first + self._steps_per_call, steps), time.perf_counter()
                state, sums = self.program.train(state, values, plan, self._images.fit, (first, last))
                losses += np.asarray(sums, np.float64)
                self._steps_per_call = max(1, round(POLL_SECONDS * (last - first) / (time.perf_counter() - began)))
                first = last
                if not should_continue():
                    return None
        return state, losses / count

    def _score(self, state: ProgramState) -> np.ndarray:
        """Returns the probabilities that each place gives the scored images, (places, images, classes)."""
        pixels = self._images.images.evaluation_images
        at_once = max(1, MAX_SCORED_VALUES // (math.prod(pixels.shape[1:]) * self._stack_size))
        size = math.ceil(len(pixels) / math.ceil(len(pixels) / at_once))
        chunks = []
        for first in range(0, len(pixels), size):
            batch = pixels[first : first + size]
            padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
            chunks.append(np.asarray(self.program.predict(state, padded)))
        return np.concatenate(chunks, axis=1)[:, : len(pixels)]

    def _needs_scoring(self, member: Member) -> bool:
        images = self._images.images
        return len(images.evaluation_images) > 0 and (
            images.evaluate_every_epoch or member.epoch == member.trial.epochs - 1
        )

    def _record_epoch(
        self, member: Member, training_loss: float, probabilities: np.ndarray | None, seconds: float
    ) -> None:
        """Adds an epoch to what a member has reached."""
        if not math.isfinite(training_loss):
            raise NonFiniteLoss
        metrics: dict[str, float] = {}
        if probabilities is not None:
            labels = self._images.images.evaluation_labels
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
    """Takes the time of an epoch by part; what the program was compiled in is told apart.

    Args:
        program: The program.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._compile_seconds, self._began = program, program.compile_seconds, time.perf_counter()
        self.seconds = {"build": 0.0}

    def lap(self, part: str) -> None:
        """Ends a part."""
        now, compiled = time.perf_counter(), self._program.compile_seconds
        self.seconds["build"] += compiled - self._compile_seconds
        self.seconds[part] = now - self._began - (compiled - self._compile_seconds)
        self._began, self._compile_seconds = now, compiled


def epoch_plans(members: Sequence[Member], images: int, shape: ProgramShape) -> list[Mapping[str, np.ndarray]]:
    """Returns what each step of an epoch takes, as a program's ``train`` wants it; more than one plan of unlike steps.

    Keras trains on a last batch that is smaller, as it is. Where batches are smaller than there is room for, there are
    more of them; members whose steps are over rest until the others' are.

    Args:
        members: Whose epoch it is.
        images: How many images are trained on.
        shape: What a step has room for.
    """
    sizes = [member.config["batch_size"] for member in members]
    steps = math.ceil(images / min(sizes))
    plan = {
        "order": np.zeros((steps, len(members), shape.batch_size), np.int32),
        "count": np.zeros((steps, len(members)), np.int32),
        "rates": np.zeros((steps, len(members)), np.float32),
    }
    for place, (one, size) in enumerate(zip(members, sizes, strict=True)):
        own_steps = math.ceil(images / size)
        order = np.random.default_rng((one.trial.seed, one.epoch)).permutation(images)
        plan["order"][:own_steps, place, :size] = np.pad(order, (0, own_steps * size - images)).reshape(own_steps, size)
        plan["count"][:own_steps, place] = [*[size] * (own_steps - 1), images - (own_steps - 1) * size]
        plan["rates"][:own_steps, place] = one.learning_rates[one.epoch * own_steps : (one.epoch + 1) * own_steps]
    rest = images % shape.batch_size
    if shape.pads_last_batch or not rest:
        return [plan]
    full, last = ({name: part[chosen] for name, part in plan.items()} for chosen in (slice(-1), slice(-1, None)))
    return [*([full] if steps > 1 else []), {**last, "order": last["order"][..., :rest]}]


def _fill_stack(members: Sequence[Member], size: int) -> list[Member]:
    """Returns as many members as there are places; the first stands in where one is empty."""
    return [*members, *[members[0]] * (size - len(members))]


@jax.jit  # type: ignore[untyped-decorator]
def _take(state: ProgramState, rows: Any) -> ProgramState:
    taken: ProgramState = jax.tree.map(lambda stacked: stacked[rows], state)
    return taken
