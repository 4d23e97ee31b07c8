"""Chooses how a plan's trials are packed onto this machine, where its options leave that open.

By what the study's recorded trials ran with, else by what was measured here before, else by a measurement: on a CPU the
speed of each layout in question, on GPUs the memory that a worker takes. What was measured is kept in the cache folder,
a file for each thing that it depends on. Called once a session, by whoever holds the study's lock, and by a dry run.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from search.data.cache import file_sha256
from search.data.dataset import default_cache_dir
from search.errors import SearchError
from search.files import write_atomic
from search.records.record import StudyRecord
from search.session.parallelism.policy import (
    THREAD_COUNT_NOTE,
    ChosenBy,
    Parallelism,
    WorkerLayout,
    candidate_layouts,
    fastest_layout,
    gpu_worker_count,
)
from search.session.parallelism.probe import ProbeError, measure_gpu_memory, measure_throughput
from search.session.plan import ExecutorName, Plan
from search.training.runtime import Device, machine_info, memory_worker_limit, package_versions, usable_cores
from spaces import registry

MIN_STUDY_SECONDS = 180.0
"""Time budget of a study below which the 10 to 20 seconds of a measurement would not come back."""
BUSY_PERCENT = 20.0
"""Share of the machine that others may use for a measurement to be remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCallbacks:
    """Who hears of a measurement, and may end it.

    Args:
        on_probe_start: Called with what is to be measured, before it begins.
        should_stop: Asked now and then; where it says so, the plan stays as it was.
    """

    on_probe_start: Callable[[Sequence[WorkerLayout]], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


def choose_parallelism(plan: Plan, record: StudyRecord, callbacks: ProbeCallbacks) -> Plan:
    """Returns the plan with its packing decided.

    Args:
        plan: What is done.
        record: What is recorded of the study.
        callbacks: Who hears of it.
    """
    if plan.settings.executor == ExecutorName.VECTORIZED:
        return plan  # each device's process measures for itself how many trials it takes
    threads = None if plan.settings.threads is not None else recorded_threads(record)
    if plan.settings.executor == ExecutorName.RAY and (plan.settings.address or plan.task.runtime.device is Device.GPU):
        return _choose_for_cluster(plan, threads or plan.settings.threads or 1)
    if plan.task.runtime.device is Device.GPU:
        return _choose_for_gpus(plan, threads or plan.parallelism.layout.threads, record, callbacks)
    if threads is not None:
        layout = WorkerLayout(plan.settings.workers or max(1, usable_cores() // threads), threads)
        return plan.with_parallelism(Parallelism(layout=layout, chosen_by=ChosenBy.RECORDED, note=THREAD_COUNT_NOTE))
    return _choose_for_cpu(plan, record, callbacks) if plan.parallelism.chosen_by is ChosenBy.PENDING else plan


def _choose_for_cluster(plan: Plan, threads: int) -> Plan:
    """Chooses as many workers as the cluster has room for when it is joined; its machines are not measured."""
    return plan.with_parallelism(
        Parallelism(layout=WorkerLayout(plan.settings.workers or 1, threads), chosen_by=ChosenBy.CLUSTER)
    )


def cached_parallelism(plan: Plan) -> Parallelism:
    """Returns the packing that was measured here before, or the plan's own as it is; measures nothing."""
    layouts = candidate_layouts(usable_cores(), memory_worker_limit())
    is_open = plan.parallelism.chosen_by is ChosenBy.PENDING and plan.task.runtime.device is Device.CPU
    if not is_open or (speeds := _cached_speeds(_read_cache(_cache_path(plan)), layouts)) is None:
        return plan.parallelism
    return Parallelism(layout=fastest_layout(speeds), chosen_by=ChosenBy.CACHED, images_per_second=speeds)


def recorded_threads(record: StudyRecord) -> int | None:
    """Returns the threads that the latest recorded trial ran with; None where none says so."""
    recorded = [one.outcome.environment.get("threads") for one in record.trials if one.outcome]
    return next((threads for threads in reversed(recorded) if threads), None)


def _choose_for_cpu(plan: Plan, record: StudyRecord, callbacks: ProbeCallbacks) -> Plan:
    """Chooses the fastest layout of those in question."""
    layouts, path = candidate_layouts(usable_cores(), memory_worker_limit()), _cache_path(plan)
    if (cached := cached_parallelism(plan)).chosen_by is ChosenBy.CACHED:
        return plan.with_parallelism(cached)
    if len(layouts) == 1:
        return plan.with_parallelism(
            Parallelism(layout=layouts[0], chosen_by=ChosenBy.UNMEASURED, note="the memory holds no more")
        )
    if not _is_worth_probing(plan, record):
        return plan.with_parallelism(replace(plan.parallelism, chosen_by=ChosenBy.UNMEASURED, note="a short study"))
    callbacks.on_probe_start(layouts)
    is_busy = psutil.cpu_percent(interval=0.5) > BUSY_PERCENT
    try:
        speeds = measure_throughput(plan.task, plan.header.space.baseline, layouts, callbacks.should_stop)
    except ProbeError as error:
        return plan.with_parallelism(replace(plan.parallelism, chosen_by=ChosenBy.UNMEASURED, note=str(error)))
    if is_busy:
        note = "others kept the machine busy, so once more next time"
        return plan.with_parallelism(
            Parallelism(layout=fastest_layout(speeds), chosen_by=ChosenBy.MEASURED, images_per_second=speeds, note=note)
        )
    _write_cache(path, {"images_per_second": [speeds[layout] for layout in layouts]})
    return plan.with_parallelism(
        Parallelism(layout=fastest_layout(speeds), chosen_by=ChosenBy.MEASURED, images_per_second=speeds)
    )


def _choose_for_gpus(plan: Plan, threads: int, record: StudyRecord, callbacks: ProbeCallbacks) -> Plan:
    """Chooses as many workers as fit into the GPUs' memory by what the baseline takes."""
    parallelism, gpus = plan.parallelism, plan.task.runtime.gpus
    if parallelism.chosen_by is not ChosenBy.PENDING:
        return plan.with_parallelism(replace(parallelism, layout=WorkerLayout(parallelism.layout.workers, threads)))
    if not _is_worth_probing(plan, record):
        return plan.with_parallelism(
            Parallelism(layout=WorkerLayout(len(gpus), threads), chosen_by=ChosenBy.UNMEASURED, note="a short study")
        )
    path = _cache_path(plan)
    memory, basis = _cached_memory(_read_cache(path), len(gpus)), ChosenBy.CACHED
    if memory is None:
        callbacks.on_probe_start(())
        try:
            memory, basis = (
                measure_gpu_memory(plan.task, plan.header.space.baseline, callbacks.should_stop),
                ChosenBy.MEASURED,
            )
        except ProbeError as error:
            return plan.with_parallelism(
                Parallelism(layout=WorkerLayout(len(gpus), threads), chosen_by=ChosenBy.UNMEASURED, note=str(error))
            )
        _write_cache(path, {"free_mib": list(memory[0]), "peak_mib": memory[1]})
    free, peak = memory
    workers = gpu_worker_count(free_mib=free, peak_mib=peak, cores=usable_cores())
    note = f"the baseline takes {peak:,.0f} of {min(free):,.0f} MiB free on a GPU"
    return plan.with_parallelism(Parallelism(layout=WorkerLayout(workers, threads), chosen_by=basis, note=note))


def _is_worth_probing(plan: Plan, record: StudyRecord) -> bool:
    """Says whether the study is long enough for a measurement: a trial for each worker at least, and some minutes."""
    settings, workers = plan.settings, plan.workers
    return (
        (settings.trials is None or settings.trials >= workers)
        and (settings.total_epochs is None or settings.total_epochs >= workers * settings.epochs)
        and (settings.timeout is None or settings.timeout - record.spent_seconds >= MIN_STUDY_SECONDS)
    )


def _cache_path(plan: Plan) -> Path:
    """Returns the file for everything that a measurement depends on."""
    task, header, runtime = plan.task, plan.header, plan.task.runtime
    dependencies = {
        "baseline": dict(header.space.baseline),
        "builder": _builder_sha256(task.space_source),
        "data": [task.dataset.image_shape, task.dataset.classes, task.dataset.training_count],
        "split": task.protocol.split.value,
        "runtime": [runtime.backend, runtime.device, runtime.gpus, runtime.deterministic, runtime.precision],
        "versions": package_versions("keras", runtime.backend.value, "numpy", "keras-image-search"),
        "machine": [machine_info()["processor"], usable_cores()],
    }
    digest = hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(plan.settings.cache_dir) if plan.settings.cache_dir else default_cache_dir()
    return folder.absolute() / "packing" / f"{digest}.json"


def _builder_sha256(space_source: str) -> str:
    """Returns the hash of the file that holds a space's model builder."""
    build = registry.load(space_source).build
    assert build is not None, "a space that was loaded from its source has a builder"
    try:
        file = inspect.getsourcefile(inspect.unwrap(build)) or space_source
    except TypeError:  # a partial or an object that can be called
        file = space_source
    return file_sha256(Path(file)) if Path(file).is_file() else space_source


def _read_cache(path: Path) -> dict[str, Any]:
    """Returns what was measured before; nothing where there is none, or it is damaged: then it is measured again."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write_cache(path: Path, measured: dict[str, Any]) -> None:
    with contextlib.suppress(SearchError):  # a full disk: it is measured again next time
        write_atomic(path, json.dumps(measured) + "\n", what="measurement cache")


def _cached_speeds(document: dict[str, Any], layouts: Sequence[WorkerLayout]) -> dict[WorkerLayout, float] | None:
    speeds = document.get("images_per_second")
    if not isinstance(speeds, list) or len(speeds) != len(layouts) or not all(map(_is_positive, speeds)):
        return None
    return dict(zip(layouts, speeds, strict=True))


def _cached_memory(document: dict[str, Any], gpus: int) -> tuple[tuple[float, ...], float] | None:
    free, peak = document.get("free_mib"), document.get("peak_mib")
    if not isinstance(free, list) or len(free) != gpus or not all(map(_is_positive, free)):
        return None
    return (tuple(free), float(peak)) if isinstance(peak, float) and _is_positive(peak) else None


def _is_positive(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0
