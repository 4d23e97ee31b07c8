"""Runs a comparison on recorded trainings: every engine searches with the same seeds, in worker processes.

Recorded runs are not repeated, so an interrupted comparison continues, and engines or repeats can be added. Engines
that cannot search a space are excluded with a reason. Called by the command line.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from search.compare.recorded.compute import RecordedComparison, compute
from search.compare.recorded.contenders import make_contender
from search.compare.recorded.model import load_model
from search.compare.recorded.recordings import recording_name
from search.compare.recorded.simulate import RecordedSpec, SearchResult, simulate
from search.compare.spec import schedule
from search.compare.tabular.processes import ProgressCallback, run_missing
from search.compare.tabular.store import open_store
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.training.runtime import package_versions

SCHEMA = "searches/1"


def run_searches(
    spec: RecordedSpec,
    folder: Path,
    *,
    processes: int = 1,
    progress: ProgressCallback = lambda done, total: None,
    command: str = "",
) -> RecordedComparison:
    """Simulates the searches that are not recorded and returns the result of all requested ones.

    Args:
        spec: What is run.
        folder: Where the results are recorded.
        processes: Concurrent searches, one core each; at least 1.
        progress: Called at the start and after each search, if any is missing.
        command: The command that is running, for the report.

    Raises:
        UserError: No engine can search the spaces, a recording cannot be used, or the folder holds runs of other terms.
        FatalError: A process died; finished runs are kept.
    """
    models = {recording_name(path): load_model(path) for path in spec.recordings}
    versions = package_versions("numpy", "optuna", "cmaes", "torch", "keras-tuner", "scikit-learn")
    terms = {
        "recordings": {recording_name(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in spec.recordings},
        "recipes": {name: [*map(model.space.recipe, model.space.recipes)] for name, model in models.items()},
        "workers": spec.workers,
        "seed": spec.seed,
        "pruner": spec.pruner,
        "versions": dict(versions),
    }
    names = [choice.name for choice in spec.engines]
    with open_store(folder, terms, SearchResult.from_json, SCHEMA) as store:
        excluded = run_missing(
            schedule(names, spec.repeats, spec.tables),
            store,
            partial(simulate, spec),
            {choice.name: partial(_exclusion_reason, choice, spec) for choice in spec.engines},
            processes=processes,
            progress=progress,
        )
        engines = [name for name in names if name not in excluded]
        runs = {key: store.runs()[key] for key in schedule(engines, spec.repeats, spec.tables)}
    if not runs:
        raise UserError(f"None of these engines can search these spaces. {' '.join(excluded.values())}")
    return compute(spec, runs, models, excluded=excluded, versions=versions, command=command)


def _exclusion_reason(choice: EngineChoice, spec: RecordedSpec) -> str:
    """Returns why an engine cannot search a space; empty if it can search all."""
    try:
        for path in spec.recordings:
            model = load_model(path)
            make_contender(choice, model.space, seed=0, epochs=model.epochs)
    except UserError as error:
        return str(error).replace("\n", " ")
    return ""
