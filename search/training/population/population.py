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

from search.training.attempt import NotFinite
from search.training.epochs import cross_entropy
from search.training.phases import PhaseImages
from search.training.population.member import Member
from search.training.population.program import Images, Program, State
from search.training.population.widening import Room
from search.trial import EpochReport, Phase

LOOK_SECONDS = 0.5
"""About the time between two looks at the outside world."""
FIRST_STEPS = 2
"""Steps of the first call, before it is known how long they take."""
SCORED_VALUES = 8_000_000
"""Pixel values that all members together score at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A phase's images, on the device.

    Args:
        images: As they were opened.
        fit: Trained on.
    """

    images: PhaseImages
    fit: Images


def load(images: PhaseImages) -> Loaded:
    """Copies a phase's images to the device, where they stay."""
    pixels = images.fit[np.arange(len(images.fit))]
    fit = Images(jax.numpy.asarray(pixels), jax.numpy.asarray(images.fit_labels, dtype=np.int32))
    return Loaded(images=images, fit=fit)


def width_of(members: int, present: int, most: int) -> int:
    """Returns how many places a stack has: a power of two, and no other while at least half of them are taken.

    Args:
        members: How many there are.
        present: Its places now.
        most: Members that there may be, and places then.
    """
    if present / 2 < members <= present:
        return present
    return int(min(2 ** math.ceil(math.log2(members)), max(most, members)))


class Population:
    """Members of one program.

    Args:
        program: What they share.
        loaded: The images of their phase.
        most: Members that there may be.
    """

    def __init__(self, program: Program, loaded: Loaded, most: int) -> None:
        self.program, self._loaded, self._most = program, loaded, most
        self._members: list[Member] = []
        self._state: State = {}
        self._width, self._steps = 0, FIRST_STEPS

    def arrange(self, members: Sequence[Member]) -> None:
        """Makes the stack hold these members; puts aside the state of those that are no longer among them."""
        if list(members) == self._members:
            return
        if set(members) <= set(self._members):
            self._select(members)
            return
        self._put_aside(self._members)
        self._width = width_of(len(members), self._width, self._most)
        states = [member.state for member in _padded(members, self._width)]
        self._state = jax.device_put(jax.tree.map(lambda *own: np.stack(own), *states))
        self._members = list(members)
        for member in members:
            member.state = None

    def _select(self, members: Sequence[Member]) -> None:
        """Drops members from the stack."""
        places = {member: place for place, member in enumerate(self._members)}
        self._put_aside([member for member in self._members if member not in set(members)])
        self._width = width_of(len(members), self._width, self._most)
        rows = np.array([places[member] for member in _padded(members, self._width)])
        self._state = _take(self._state, rows)
        self._members = list(members)

    def rest(self) -> None:
        """Gives the stack back to the device, when nobody in it has anything left to do."""
        self._members, self._state, self._width = [], {}, 0

    def _put_aside(self, members: Sequence[Member]) -> None:
        for place, member in enumerate(self._members):
            if member in members and not member.is_over:
                member.state = self.state_of(place)

    def state_of(self, place: int) -> State:
        """Returns the state of a member, on the host."""
        state: State = jax.tree.map(np.asarray, _take(self._state, place))
        return state

    def advance(self, look: Callable[[], bool]) -> None:
        """Trains and scores an epoch, and adds what came of it to each member's attempt.

        A member whose loss is no number has its error set.

        Args:
            look: Asked about twice a second; where it says False, the epoch is left, and nothing is added.
        """
        watch = Stopwatch(self.program)
        reached = self._fit(look)
        watch.lap("fit")
        if reached is None:
            return
        state, losses = reached
        said = self._score(state) if any(self._is_scored(member) for member in self._members) else None
        watch.lap("evaluate")
        self._loaded.images.verify()  # before anybody hears of the epoch
        self._state = state
        shares = {part: seconds / len(self._members) for part, seconds in watch.seconds.items()}
        for place, member in enumerate(self._members):
            for part, seconds in shares.items():
                member.attempt.seconds[part] += seconds
            try:
                probabilities = said[place] if said is not None and self._is_scored(member) else None
                self._note(member, float(losses[place]), probabilities, sum(shares.values()))
            except NotFinite as error:
                member.error = error

    def try_out(self) -> None:
        """Trains a step or two and scores the images, so that its programs are compiled; nothing else comes of it."""
        self._fit(lambda: False)
        self._score(self._state)

    def _fit(self, look: Callable[[], bool]) -> tuple[State, np.ndarray] | None:
        """Returns the state after an epoch, and each place's mean training loss; None where it was left."""
        members, count = _padded(self._members, self._width), len(self._loaded.fit.labels)
        strength = np.array([0.0 if one.is_clean else 1.0 for one in members], np.float32)
        state = self.program.with_strength(self._state, strength)
        values = jax.tree.map(lambda *own: np.stack(own), *(one.values for one in members))
        losses = np.zeros(len(members))
        for plan in map(jax.device_put, plans_of(members, count, self.program.room)):
            first, steps = 0, len(plan["rates"])
            while first < steps:
                last, began = min(first + self._steps, steps), time.perf_counter()
                state, sums = self.program.train(state, values, plan, self._loaded.fit, (first, last))
                losses += np.asarray(sums, np.float64)
                self._steps = max(1, round(LOOK_SECONDS * (last - first) / (time.perf_counter() - began)))
                first = last
                if not look():
                    return None
        return state, losses / count

    def _score(self, state: State) -> np.ndarray:
        """Returns the probabilities that each place gives the scored images, (places, images, classes)."""
        pixels = self._loaded.images.score
        at_once = max(1, SCORED_VALUES // (math.prod(pixels.shape[1:]) * self._width))
        size = math.ceil(len(pixels) / math.ceil(len(pixels) / at_once))
        said = []
        for first in range(0, len(pixels), size):
            batch = pixels[first : first + size]
            padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
            said.append(np.asarray(self.program.predict(state, padded)))
        return np.concatenate(said, axis=1)[:, : len(pixels)]

    def _is_scored(self, member: Member) -> bool:
        images = self._loaded.images
        return len(images.score) > 0 and (images.every_epoch or member.epoch == member.trial.epochs - 1)

    def _note(self, member: Member, training_loss: float, probabilities: np.ndarray | None, seconds: float) -> None:
        """Adds an epoch to what a member has reached."""
        if not math.isfinite(training_loss):
            raise NotFinite
        loss, error, labels = None, None, self._loaded.images.score_labels
        if probabilities is not None:
            loss = cross_entropy(probabilities, labels)
            error = member.attempt.judge(probabilities, labels, is_kept=member.trial.phase is not Phase.SEARCH)
        report = EpochReport(
            epoch=member.epoch + 1,
            training_loss=training_loss,
            loss=loss,
            error_percent=error,
            seconds=round(seconds, 4),
        )
        member.attempt.history.append(report)


class Stopwatch:
    """Takes the time of an epoch by part; what the program was compiled in is told apart.

    Args:
        program: The program.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._compiled, self._began = program, program.compile_seconds, time.perf_counter()
        self.seconds = {"build": 0.0}

    def lap(self, part: str) -> None:
        """Ends a part."""
        now, compiled = time.perf_counter(), self._program.compile_seconds
        self.seconds["build"] += compiled - self._compiled
        self.seconds[part] = now - self._began - (compiled - self._compiled)
        self._began, self._compiled = now, compiled


def plans_of(members: Sequence[Member], images: int, room: Room) -> list[Mapping[str, np.ndarray]]:
    """Returns what each step of an epoch takes, as a program's ``train`` wants it; more than one plan of unlike steps.

    Keras trains on a last batch that is smaller, as it is. Where batches are smaller than there is room for, there are
    more of them; members whose steps are over rest until the others' are.

    Args:
        members: Whose epoch it is.
        images: How many images are trained on.
        room: What a step has room for.
    """
    sizes = [one.config["batch_size"] for one in members]
    steps = math.ceil(images / min(sizes))
    plan = {
        "order": np.zeros((steps, len(members), room.batch), np.int32),
        "count": np.zeros((steps, len(members)), np.int32),
        "rates": np.zeros((steps, len(members)), np.float32),
    }
    for place, (one, size) in enumerate(zip(members, sizes, strict=True)):
        own = math.ceil(images / size)
        order = np.random.default_rng((one.trial.seed, one.epoch)).permutation(images)
        plan["order"][:own, place, :size] = np.pad(order, (0, own * size - images)).reshape(own, size)
        plan["count"][:own, place] = [*[size] * (own - 1), images - (own - 1) * size]
        plan["rates"][:own, place] = one.rates[one.epoch * own : (one.epoch + 1) * own]
    rest = images % room.batch
    if room.is_padded or not rest:
        return [plan]
    full, last = ({name: part[chosen] for name, part in plan.items()} for chosen in (slice(-1), slice(-1, None)))
    return [*([full] if steps > 1 else []), {**last, "order": last["order"][..., :rest]}]


def _padded(members: Sequence[Member], width: int) -> list[Member]:
    """Returns as many members as there are places; the first stands in where one is empty."""
    return [*members, *[members[0]] * (width - len(members))]


@jax.jit  # type: ignore[untyped-decorator]
def _take(state: State, rows: Any) -> State:  # noqa: ANN401 - an array, or one place
    taken: State = jax.tree.map(lambda stacked: stacked[rows], state)
    return taken
