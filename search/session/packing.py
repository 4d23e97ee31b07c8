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

from search.errors import SearchError
from search.execution.packing import SAME_BITS, Basis, Layout, Packing, candidates, fastest, workers_on_gpus
from search.execution.probe import ProbeError, measure_memory, measure_speed
from search.leaderboard.files import write
from search.records.record import StudyRecord
from search.session.planning import Plan, Site
from search.training.data import default_cache_dir
from search.training.hashes import file_sha256
from search.training.runtime import Device, cores, machine, room, versions
from spaces import registry

SHORTEST_SECONDS = 180.0
"""Time budget of a study below which the 10 to 20 seconds of a measurement would not come back."""
BUSY_PERCENT = 20.0
"""Share of the machine that others may use for a measurement to be remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who hears of a measurement, and may end it.

    Args:
        measuring: Called with what is to be measured, before it begins.
        should_stop: Asked now and then; where it says so, the plan stays as it was.
    """

    measuring: Callable[[Sequence[Layout]], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


def pack(plan: Plan, record: StudyRecord, watch: Watch) -> Plan:
    """Returns the plan with its packing decided.

    Args:
        plan: What is done.
        record: What is recorded of the study.
        watch: Who hears of it.
    """
    if plan.settings.executor == Site.VECTORIZED:
        return plan  # each device's process measures for itself how many trials it takes
    threads = None if plan.settings.threads is not None else recorded_threads(record)
    if plan.settings.executor == Site.RAY and (plan.settings.address or plan.task.runtime.device is Device.GPU):
        return _on_cluster(plan, threads or plan.settings.threads or 1)
    if plan.task.runtime.device is Device.GPU:
        return _on_gpus(plan, threads or plan.packing.layout.threads, record, watch)
    if threads is not None:
        layout = Layout(plan.settings.workers or max(1, cores() // threads), threads)
        return plan.packed(Packing(layout=layout, basis=Basis.RECORDED, note=SAME_BITS))
    return _on_cores(plan, record, watch) if plan.packing.basis is Basis.OPEN else plan


def _on_cluster(plan: Plan, threads: int) -> Plan:
    """Chooses as many workers as the cluster has room for when it is joined; its machines are not measured."""
    return plan.packed(Packing(layout=Layout(plan.settings.workers or 1, threads), basis=Basis.CLUSTER))


def remembered(plan: Plan) -> Packing:
    """Returns the packing that was measured here before, or the plan's own as it is; measures nothing."""
    layouts = candidates(cores(), room())
    is_open = plan.packing.basis is Basis.OPEN and plan.task.runtime.device is Device.CPU
    if not is_open or (known := _speeds(_read(_path(plan)), layouts)) is None:
        return plan.packing
    return Packing(layout=fastest(known), basis=Basis.REMEMBERED, speeds=known)


def recorded_threads(record: StudyRecord) -> int | None:
    """Returns the threads that the latest recorded trial ran with; None where none says so."""
    known = [one.outcome.environment.get("threads") for one in record.trials if one.outcome]
    return next((threads for threads in reversed(known) if threads), None)


def _on_cores(plan: Plan, record: StudyRecord, watch: Watch) -> Plan:
    """Chooses the fastest layout of those in question."""
    layouts, path = candidates(cores(), room()), _path(plan)
    if (known := remembered(plan)).basis is Basis.REMEMBERED:
        return plan.packed(known)
    if len(layouts) == 1:
        return plan.packed(Packing(layout=layouts[0], basis=Basis.UNMEASURED, note="the memory holds no more"))
    if not _pays(plan, record):
        return plan.packed(replace(plan.packing, basis=Basis.UNMEASURED, note="a short study"))
    watch.measuring(layouts)
    is_busy = psutil.cpu_percent(interval=0.5) > BUSY_PERCENT
    try:
        speeds = measure_speed(plan.task, plan.header.space.baseline, layouts, watch.should_stop)
    except ProbeError as error:
        return plan.packed(replace(plan.packing, basis=Basis.UNMEASURED, note=str(error)))
    if is_busy:
        note = "others kept the machine busy, so once more next time"
        return plan.packed(Packing(layout=fastest(speeds), basis=Basis.MEASURED, speeds=speeds, note=note))
    _keep(path, {"images_per_second": [speeds[layout] for layout in layouts]})
    return plan.packed(Packing(layout=fastest(speeds), basis=Basis.MEASURED, speeds=speeds))


def _on_gpus(plan: Plan, threads: int, record: StudyRecord, watch: Watch) -> Plan:
    """Chooses as many workers as fit into the GPUs' memory by what the baseline takes."""
    given, gpus = plan.packing, plan.task.runtime.gpus
    if given.basis is not Basis.OPEN:
        return plan.packed(replace(given, layout=Layout(given.layout.workers, threads)))
    if not _pays(plan, record):
        return plan.packed(Packing(layout=Layout(len(gpus), threads), basis=Basis.UNMEASURED, note="a short study"))
    path = _path(plan)
    known, basis = _memory(_read(path), len(gpus)), Basis.REMEMBERED
    if known is None:
        watch.measuring(())
        try:
            known, basis = measure_memory(plan.task, plan.header.space.baseline, watch.should_stop), Basis.MEASURED
        except ProbeError as error:
            return plan.packed(Packing(layout=Layout(len(gpus), threads), basis=Basis.UNMEASURED, note=str(error)))
        _keep(path, {"free_mib": list(known[0]), "peak_mib": known[1]})
    free, peak = known
    workers = workers_on_gpus(free_mib=free, peak_mib=peak, cores=cores())
    note = f"the baseline takes {peak:,.0f} of {min(free):,.0f} MiB free on a GPU"
    return plan.packed(Packing(layout=Layout(workers, threads), basis=basis, note=note))


def _pays(plan: Plan, record: StudyRecord) -> bool:
    """Says whether the study is long enough for a measurement: a trial for each worker at least, and some minutes."""
    settings, workers = plan.settings, plan.workers
    return (
        (settings.trials is None or settings.trials >= workers)
        and (settings.total_epochs is None or settings.total_epochs >= workers * settings.epochs)
        and (settings.timeout is None or settings.timeout - record.spent_seconds >= SHORTEST_SECONDS)
    )


def _path(plan: Plan) -> Path:
    """Returns the file for everything that a measurement depends on."""
    task, header, runtime = plan.task, plan.header, plan.task.runtime
    about = {
        "baseline": dict(header.space.baseline),
        "builder": _builder_sha256(task.space_source),
        "data": [task.dataset.image_shape, task.dataset.classes, task.dataset.training_count],
        "split": task.protocol.split.value,
        "runtime": [runtime.backend, runtime.device, runtime.gpus, runtime.deterministic, runtime.precision],
        "versions": versions("keras", runtime.backend.value, "numpy", "keras-image-search"),
        "machine": [machine()["processor"], cores()],
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
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


def _read(path: Path) -> dict[str, Any]:
    """Returns what was measured before; nothing where there is none, or it is damaged: then it is measured again."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _keep(path: Path, measured: dict[str, Any]) -> None:
    with contextlib.suppress(SearchError):  # a full disk: it is measured again next time
        write(path, json.dumps(measured) + "\n")


def _speeds(known: dict[str, Any], layouts: Sequence[Layout]) -> dict[Layout, float] | None:
    speeds = known.get("images_per_second")
    if not isinstance(speeds, list) or len(speeds) != len(layouts) or not all(map(_is_amount, speeds)):
        return None
    return dict(zip(layouts, speeds, strict=True))


def _memory(known: dict[str, Any], gpus: int) -> tuple[tuple[float, ...], float] | None:
    free, peak = known.get("free_mib"), known.get("peak_mib")
    if not isinstance(free, list) or len(free) != gpus or not all(map(_is_amount, free)):
        return None
    return (tuple(free), float(peak)) if isinstance(peak, float) and _is_amount(peak) else None


def _is_amount(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0
