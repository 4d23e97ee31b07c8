"""Completion in a shell: the values of options, and engines with their samplers also where bash breaks words at colons.

Imported only while a shell asks. Knows names, and no library behind them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from search.engines.registry import ENGINES, engine_names
from spaces.registry import SPACES


def option_values(option: str, preceding_options: Mapping[str, Any]) -> Sequence[str]:
    """Returns the values of an option, such as a shell may offer.

    Args:
        option: The setting's name.
        preceding_options: The options that stand before it.
    """
    kind = ENGINES.get(str(preceding_options.get("engine") or next(iter(ENGINES))).partition(":")[0])
    candidates: Mapping[str, Sequence[str]] = {
        "study": _studies(Path(preceding_options.get("studies_dir") or "studies")),
        "row": ("winner", "baseline", "rank:1", "rank:2", "rank:3"),
        "space": list(SPACES),
        "dataset": ("mnist", "fashion_mnist", "cifar10"),
        "engine": [*ENGINES, *engine_names()],
        "sampler": list(kind.samplers) if kind else (),
        "pruner": list(kind.pruners) if kind else (),
        "protocol": ("holdout", "tutorial"),
        "split": ("group", "block", "stratified"),
        "executor": ("local", "ray", "vectorized"),
        "backend": ("tensorflow", "jax", "torch"),
        "devices": ("auto", "cpu", "gpu"),
        "precision": ("float32", "tf32", "bfloat16"),
    }
    return candidates.get(option, ())


def _studies(folder: Path) -> list[str]:
    """Returns the names of the studies in a folder; those in a database would take a library to find."""
    return sorted(path.parent.name for path in folder.glob("*/ledger.journal"))


def complete_list_item(candidates: Sequence[str], incomplete: str) -> list[str]:
    """Returns the candidates for the last item of a list that is separated by commas, each with the items before."""
    before, comma, last = incomplete.rpartition(",")
    used = before.split(",")
    return [
        f"{before}{comma}{candidate}"
        for candidate in candidates
        if candidate.startswith(last) and candidate not in used
    ]


class BashColonComplete(BashComplete):
    """Bash takes a colon for the end of a word: here the parts are joined again, and only the last is given back."""

    name = "bash"
    _colon_prefix = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Returns the words before the one to be completed, and that one as it was typed."""
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
        """Returns what bash puts in place of the part after the last colon."""
        return f"{item.type},{item.value.removeprefix(self._colon_prefix)}"


add_completion_class(BashColonComplete)
