"""Chooses how many workers, with how many threads and which kernels, run a plan's trials.

The first of these that applies decides:

    the options             --workers, --threads, --kernels
    the recorded trials     a study keeps its threads and kernels
    an earlier measurement  kept in the cache folder, a file for each set of conditions
    a measurement now       on a CPU the throughput of each layout and kernels, on GPUs the memory of one worker

The measurement on a CPU times the recipes too, for the costs of the plan.

Kernels are measured together with layouts: where options decide workers or threads, they are those of an earlier
measurement, or oneDNN.

The vectorized executor and a Ray cluster determine themselves how many trials fit. Called once a
session, under the study's lock, and by the dry run, the comparison of engines and the doctor.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from search.data.cache import file_sha256
from search.data.dataset import default_cache_dir
from search.errors import SearchError
from search.execution.vectorized import PROBE_POPULATION_SIZE
from search.files import write_atomic
from search.records.arithmetic import Arithmetic, Kernels, study_arithmetic
from search.records.record import StudyRecord
from search.session.parallelism.policy import (
    ARITHMETIC_NOTE,
    KERNELS_BY_PREFERENCE,
    MAX_POPULATION,
    ChosenBy,
    Parallelism,
    WorkerLayout,
    candidate_layouts,
    fastest,
    gpu_worker_count,
)
from search.session.parallelism.probe import ProbeError, Throughput, measure_gpu_memory, measure_throughput
from search.session.plan import Plan
from search.session.settings import ExecutorName
from search.study.cost import CostModel
from search.training.runtime import (
    Backend,
    Device,
    has_both_kernels,
    machine_info,
    memory_worker_limit,
    package_versions,
    usable_cores,
)
from spaces import registry

MIN_STUDY_SECONDS = 600.0
"""Time budget below which nothing is measured: a measurement takes about 25 seconds on two cores."""
MIN_TRIALS_SECONDS = 60.0
"""Predicted time of a given number of trials below which nothing is measured."""
MEASURED_KERNELS = "fastest"
"""In the conditions of a measurement: it chooses the kernels."""
BUSY_PERCENT = 20.0
"""CPU load of other programs, in percent, above which a measurement is not cached."""


def choose_parallelism(
    plan: Plan,
    record: StudyRecord | None = None,
    *,
    may_measure: bool = True,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Parallelism:
    """Returns workers, threads and kernels, and what decided them.

    Args:
        plan: The run.
        record: What is recorded of the study; None if nothing is.
        may_measure: Whether to measure where nothing else decides; otherwise the result is ``ChosenBy.PENDING``.
        on_probe_start: Called before a measurement with the layouts to be measured, none for GPU memory.
        should_stop: Called during a measurement; True ends it without a result.
    """
    recorded = study_arithmetic(record) if record is not None else Arithmetic()
    kernels = plan.task.runtime.kernels or recorded.kernels
    # Trials of older versions, whose kernels are unknown, ran with TensorFlow's default, and so do those that follow.
    has_choice = kernels is None and recorded == Arithmetic() and _has_kernel_choice(plan)
    plan = replace(plan, task=plan.task.with_arithmetic(threads=plan.task.runtime.threads, kernels=kernels))
    recorded_threads = recorded.threads if plan.settings.threads is None else None
    if (decided := _by_options_or_record(plan, recorded_threads)) is not None:
        return replace(decided, kernels=_unmeasured_kernels(plan) if has_choice else kernels)
    spent_seconds = record.spent_seconds if record is not None else 0.0
    if plan.task.runtime.device is Device.GPU:
        threads = plan.settings.threads or recorded_threads or 1
        return _for_gpus(plan, threads, spent_seconds, may_measure, on_probe_start, should_stop)
    return _for_cpu(plan, has_choice, spent_seconds, may_measure, on_probe_start, should_stop)


def _has_kernel_choice(plan: Plan) -> bool:
    """Returns whether TensorFlow has two kernels where the trials run; a cluster's nodes must all use the same."""
    runtime = plan.task.runtime
    is_on_cpu = runtime.backend is Backend.TENSORFLOW and runtime.device is not Device.GPU
    return is_on_cpu and (has_both_kernels() or plan.settings.address is not None)


def _unmeasured_kernels(plan: Plan) -> Kernels:
    """Returns the kernels of an earlier measurement, or else the preferred ones."""
    document = _read_cache(_cache_path(plan, has_choice=True))
    return fastest(speeds) if (speeds := _kernel_speeds(document)) else KERNELS_BY_PREFERENCE[0]


def _by_options_or_record(plan: Plan, recorded: int | None) -> Parallelism | None:
    """Returns what the options, the recorded threads or the executor decide; None if a measurement is needed."""
    settings, runtime, cores = plan.settings, plan.task.runtime, usable_cores()
    workers, threads = settings.workers, settings.threads or recorded
    if settings.executor == ExecutorName.VECTORIZED:
        return _for_vectorized(plan, threads or cores)
    if settings.executor == ExecutorName.RAY and (settings.address or runtime.device is Device.GPU):
        return Parallelism(layout=WorkerLayout(workers or 1, threads or 1), chosen_by=ChosenBy.CLUSTER)
    if runtime.device is Device.GPU:
        layout = WorkerLayout(workers or 1, threads or 1)
        return Parallelism(layout=layout, chosen_by=ChosenBy.SPECIFIED) if workers else None
    if not workers and not threads:
        return None
    layout = WorkerLayout(workers or max(1, cores // (threads or 1)), threads or max(1, cores // (workers or 1)))
    if recorded:
        return Parallelism(layout=layout, chosen_by=ChosenBy.RECORDED, note=ARITHMETIC_NOTE)
    return Parallelism(layout=layout, chosen_by=ChosenBy.SPECIFIED)


def _for_vectorized(plan: Plan, threads: int) -> Parallelism:
    """Returns the requested population; without ``--workers`` each device's process measures its own."""
    workers, runtime = plan.settings.workers, plan.task.runtime
    if workers is not None:
        return Parallelism(layout=WorkerLayout(workers, threads), chosen_by=ChosenBy.SPECIFIED)
    note = (
        f"as many as memory holds, {MAX_POPULATION[runtime.device]} a device at most; --workers N skips the measurement"
    )
    initial = WorkerLayout(PROBE_POPULATION_SIZE * max(1, len(runtime.gpus)), threads)
    return Parallelism(layout=initial, chosen_by=ChosenBy.PENDING, note=note)


def _for_cpu(
    plan: Plan,
    has_choice: bool,
    spent_seconds: float,
    may_measure: bool,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None],
    should_stop: Callable[[], bool],
) -> Parallelism:
    """Returns the fastest layout and kernels, as measured before or now; one worker a core if neither.

    Args:
        plan: The run; its kernels are those given or recorded.
        has_choice: Whether the kernels are still to be chosen.
        spent_seconds: Seconds that the study has spent.
        may_measure: As in ``choose_parallelism``.
        on_probe_start: As in ``choose_parallelism``.
        should_stop: As in ``choose_parallelism``.
    """
    cores, path, memory_limit = usable_cores(), _cache_path(plan, has_choice=has_choice), memory_worker_limit()
    layouts = candidate_layouts(cores, memory_limit)
    default = Parallelism(layout=layouts[0], chosen_by=ChosenBy.UNMEASURED, kernels=plan.task.runtime.kernels)
    candidates: tuple[Kernels, ...] = ()
    if has_choice:
        default = replace(default, kernels=KERNELS_BY_PREFERENCE[0])
        processes = sum(layout.workers for layout in layouts) + len(KERNELS_BY_PREFERENCE) - 1
        candidates = KERNELS_BY_PREFERENCE if processes <= memory_limit else ()
    if len(layouts) == 1 and not candidates:
        return replace(default, note="the memory holds no more" if cores > 1 or has_choice else "")
    if (cached := _read_throughput(path, layouts, candidates)) is not None:
        return _by_throughput(default, cached, ChosenBy.CACHED)
    if not _is_worth_measuring(plan, layouts[0].workers, spent_seconds):
        return replace(default, note="a short study")
    if not may_measure:
        return replace(default, chosen_by=ChosenBy.PENDING)
    on_probe_start(layouts)
    is_busy = psutil.cpu_percent(interval=0.5) > BUSY_PERCENT
    try:
        task = plan.task.with_arithmetic(threads=1, kernels=default.kernels)
        recipes = tuple(plan.recipes.values())
        measured = measure_throughput(
            task, plan.header.space.baseline, layouts, should_stop, kernels=candidates, recipes=recipes
        )
    except ProbeError as error:
        return replace(default, note=str(error))
    if not is_busy:
        document = {"images_per_second": list(measured.layouts.values()), "kernels": dict(measured.kernels)}
        _write_cache(path, {**document, "start_seconds": measured.start_seconds, "recipes": dict(measured.recipes)})
    note = "other programs kept the machine busy, so it is measured again next time" if is_busy else ""
    return replace(_by_throughput(default, measured, ChosenBy.MEASURED), note=note)


def _by_throughput(default: Parallelism, measured: Throughput, chosen_by: ChosenBy) -> Parallelism:
    """Returns the fastest layout and kernels; those of the default where nothing was measured."""
    return Parallelism(
        layout=fastest(measured.layouts) if measured.layouts else default.layout,
        chosen_by=chosen_by,
        images_per_second=measured.layouts,
        kernels=fastest(measured.kernels) if measured.kernels else default.kernels,
        kernels_images_per_second=measured.kernels,
        start_seconds=measured.start_seconds or default.start_seconds,
        recipe_images_per_second=measured.recipes,
    )


def _for_gpus(
    plan: Plan,
    threads: int,
    spent_seconds: float,
    may_measure: bool,
    on_probe_start: Callable[[Sequence[WorkerLayout]], None],
    should_stop: Callable[[], bool],
) -> Parallelism:
    """Returns as many workers as the GPUs' memory holds, as measured before or now; one a GPU if neither."""
    gpus, path, chosen_by = plan.task.runtime.gpus, _cache_path(plan, has_choice=False), ChosenBy.CACHED
    default = Parallelism(layout=WorkerLayout(len(gpus), threads), chosen_by=ChosenBy.UNMEASURED)
    if not _is_worth_measuring(plan, len(gpus), spent_seconds):
        return replace(default, note="a short study")
    if (memory := _read_gpu_memory(path, len(gpus))) is None:
        if not may_measure:
            return replace(default, chosen_by=ChosenBy.PENDING)
        on_probe_start(())
        try:
            task = plan.task.with_arithmetic(threads=threads, kernels=None)
            memory = measure_gpu_memory(task, plan.header.space.baseline, should_stop)
        except ProbeError as error:
            return replace(default, note=str(error))
        _write_cache(path, {"free_mib": list(memory[0]), "peak_mib": memory[1]})
        chosen_by = ChosenBy.MEASURED
    free, peak = memory
    workers = gpu_worker_count(free_mib=free, peak_mib=peak, cores=usable_cores())
    note = f"the baseline takes {peak:,.0f} of {min(free):,.0f} MiB free on a GPU"
    return Parallelism(layout=WorkerLayout(workers, threads), chosen_by=chosen_by, note=note)


def _is_worth_measuring(plan: Plan, workers: int, spent_seconds: float) -> bool:
    """Returns whether the study is long enough for a measurement: a trial for each worker, and some minutes.

    The seconds of a number of trials are those of as many baselines, as predicted before any trial.
    """
    settings = plan.settings
    trials = settings.trials or (settings.total_epochs or 0) / settings.epochs
    if trials:
        costs = CostModel.for_data(plan.workload, plan.header.protocol, plan.task.dataset)
        if trials * costs.trial_seconds(plan.header.space.baseline) < MIN_TRIALS_SECONDS:
            return False
    trial_epochs = settings.epochs * (settings.folds or 1)
    return (
        (settings.trials is None or settings.trials >= workers)
        and (settings.total_epochs is None or settings.total_epochs >= workers * trial_epochs)
        and (settings.timeout is None or settings.timeout - spent_seconds >= MIN_STUDY_SECONDS)
    )


def _cache_path(plan: Plan, *, has_choice: bool) -> Path:
    """Returns the file for all the conditions that a measurement depends on.

    Args:
        plan: The run; its kernels are those given or recorded.
        has_choice: Whether the measurement chooses the kernels.
    """
    task, header, runtime, machine = plan.task, plan.header, plan.task.runtime, machine_info()
    conditions = {
        "baseline": dict(header.space.baseline),
        "builder": _builder_key(task.space_source),
        "data": [task.dataset.image_shape, task.dataset.classes, task.dataset.training_count],
        "split": task.protocol.split.value,
        "runtime": [
            runtime.backend,
            runtime.device,
            runtime.gpus,
            runtime.deterministic,
            runtime.precision,
            runtime.layers,
        ],
        "kernels": MEASURED_KERNELS if has_choice else runtime.kernels,
        "versions": package_versions("keras", runtime.backend.value, "numpy", "keras-image-search"),
        "machine": [machine["processor"], machine["processor_kind"], usable_cores()],
    }
    digest = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(plan.settings.cache_dir) if plan.settings.cache_dir else default_cache_dir()
    return folder.absolute() / "packing" / f"{digest}.json"


def _builder_key(space_source: str) -> str:
    """Returns the hash of the file that defines a space's model builder, also of one of this package."""
    file = registry.builder_file(space_source)
    return file_sha256(file) if file.is_file() else space_source


def _read_throughput(path: Path, layouts: Sequence[WorkerLayout], candidates: Sequence[Kernels]) -> Throughput | None:
    """Returns the cached throughput of each layout and kernels; None if there is none or the file is damaged."""
    document, measured_layouts = _read_cache(path), layouts if len(layouts) > 1 else ()
    speeds, by_kernels, by_recipe = document.get("images_per_second"), _kernel_speeds(document), document.get("recipes")
    if not isinstance(speeds, list) or len(speeds) != len(measured_layouts) or not all(map(_is_positive, speeds)):
        return None
    if set(by_kernels) != set(candidates):
        return None
    return Throughput(
        layouts=dict(zip(measured_layouts, speeds, strict=True)),
        kernels=by_kernels,
        start_seconds=seconds if _is_positive(seconds := document.get("start_seconds")) else None,
        recipes={key: speed for key, speed in by_recipe.items() if _is_positive(speed)}
        if isinstance(by_recipe, dict)
        else {},
    )


def _kernel_speeds(document: Mapping[str, Any]) -> dict[Kernels, float]:
    """Returns the cached images per second with each kernels, by preference; empty if they are not all there."""
    speeds = document.get("kernels")
    if not isinstance(speeds, dict) or not all(_is_positive(speeds.get(name)) for name in KERNELS_BY_PREFERENCE):
        return {}
    return {name: speeds[name] for name in KERNELS_BY_PREFERENCE}


def _read_gpu_memory(path: Path, gpus: int) -> tuple[tuple[float, ...], float] | None:
    """Returns the cached free memory of each GPU and a worker's peak, in MiB; None if there is none."""
    document = _read_cache(path)
    free, peak = document.get("free_mib"), document.get("peak_mib", 0.0)
    if not isinstance(free, list) or len(free) != gpus or not all(map(_is_positive, [*free, peak])):
        return None
    return tuple(free), peak


def _is_positive(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write_cache(path: Path, measured: dict[str, Any]) -> None:
    with contextlib.suppress(SearchError):  # a full disk: it is measured again next time
        write_atomic(path, json.dumps(measured) + "\n", what="measurement cache")
