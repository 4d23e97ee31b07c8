"""Completes option values in a shell, also ``engine:sampler`` in bash, which breaks words at colons.

Imported only when a shell requests completions, so it imports names and no libraries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from search.engines.registry import ENGINES, engine_names
from search.protocol import ClassWeight, Objective, ProtocolName, Split
from search.records.arithmetic import Kernels, Layers
from search.records.record import JOURNAL_NAME
from search.training.runtime import Backend, Device, Precision
from spaces.registry import SPACES

DATASETS = ("mnist", "fashion_mnist", "cifar10")
EXECUTORS = ("local", "ray", "vectorized")
"""Copies of the registries' names; the registries import libraries."""


def option_values(option: str, preceding_options: Mapping[str, Any]) -> Sequence[str]:
    """Returns the values of an option that a shell may offer.

    Args:
        option: The option's name.
        preceding_options: Values of the options before it.
    """
    kind = ENGINES.get(str(preceding_options.get("engine") or next(iter(ENGINES))).partition(":")[0])
    candidates: Mapping[str, Sequence[str]] = {
        "study": _studies(Path(preceding_options.get("studies_dir") or "studies")),
        "row": ("winner", "baseline", "rank:1", "rank:2", "rank:3"),
        "space": list(SPACES),
        "dataset": DATASETS,
        "engine": [*ENGINES, *engine_names()],
        "sampler": list(kind.samplers) if kind else (),
        "pruner": list(kind.pruners) if kind else (),
        "protocol": list(ProtocolName),
        "split": list(Split),
        "objective": list(Objective),
        "class_weight": list(ClassWeight),
        "executor": EXECUTORS,
        "backend": list(Backend),
        "devices": list(Device),
        "precision": list(Precision),
        "kernels": ["auto", *Kernels],
        "layers": ["auto", *Layers],
    }
    return candidates.get(option, ())


def _studies(folder: Path) -> list[str]:
    """Returns the names of the studies in a folder; listing those in a database would import a library."""
    return sorted(path.parent.name for path in folder.glob(f"*/{JOURNAL_NAME}"))


def complete_list_item(candidates: Sequence[str], incomplete: str) -> list[str]:
    """Returns the candidates for the last item of a comma-separated list, each with the items before it."""
    before, comma, last = incomplete.rpartition(",")
    used = before.split(",")
    return [
        f"{before}{comma}{candidate}"
        for candidate in candidates
        if candidate.startswith(last) and candidate not in used
    ]


class BashColonComplete(BashComplete):
    """Joins the words that bash breaks at colons, and returns to bash only the part after the last colon."""

    name = "bash"
    _colon_prefix = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Returns the words before the one to complete, and that word."""
        cursor = int(os.environ["COMP_CWORD"])
        words = split_arg_string(os.environ["COMP_WORDS"])[: cursor + 1]
        words += [""] * (cursor + 1 - len(words))
        joined: list[str] = []
        for index, word in enumerate(words):
            if index and (word == ":" or words[index - 1] == ":"):
                joined[-1] += word
            else:
                joined.append(word)
        incomplete = joined[-1]
        self._colon_prefix = incomplete[: incomplete.rfind(":") + 1]
        return joined[1:-1], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Returns the text that replaces the part after the last colon."""
        return f"{item.type},{item.value.removeprefix(self._colon_prefix)}"


add_completion_class(BashColonComplete)
