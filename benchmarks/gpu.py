"""Trials an hour on one device: one fit a trial, several processes, and populations, beside the device's ceilings.

    python benchmarks/gpu.py --out gpu.json           on a GPU; needs JAX, Keras and a few small packages, no TensorFlow
    python benchmarks/gpu.py --quick --out cpu.json   a tiny version for any machine

All ways train the same configurations of the tutorial's CNN, which differ in their learning rate, for the same number
of epochs. Compilation is timed separately. All figures come from one run; the table is printed last.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other processes share its memory
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import run_trials, small_mnist
from search.data.dataset import prepare
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Backend, Device, Precision, Runtime
from search.training.task import Task
from search.trial import Outcome, Trial
from spaces import registry

CEILING_SIDE, CEILING_ROUNDS = 8192, 10
"""Side of the square matrices by which the ceilings are measured, and repetitions."""


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny version, for any machine")
    parser.add_argument("--populations", type=int, nargs="*", default=None)
    parser.add_argument("--processes", type=int, nargs="*", default=None)
    parser.add_argument("--spaces", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    quick = options.quick
    spaces = options.spaces or (["mlp"] if quick else ["mlp", "cnn", "cnn-large"])
    populations = options.populations or ([2, 4] if quick else [8, 32, 128, 512])
    processes = options.processes or ([2] if quick else [2, 4, 8])
    epochs, repeats = (1, 3) if quick else (10, 30)
    compared = "mlp" if quick else "cnn"

    import jax

    device = jax.devices()[0]
    found: dict[str, Any] = {"device": device.device_kind, "jax": jax.__version__, "quick": quick, "rows": []}
    found["ceilings"] = ceilings(512 if quick else CEILING_SIDE)
    keep = keeper(found, options.out)
    for space in spaces:
        keep(f"{space}: one baseline, warm", population(task(space, epochs, quick), 1, seeds_only=True))
        keep(f"{space}: {repeats} seeds of it, warm", population(task(space, epochs, quick), repeats, seeds_only=True))
    of = task(compared, epochs, quick)
    keep(f"{compared}: one fit a trial", one_by_one(of, 2 if quick else 5))
    for count in processes:
        keep(f"{compared}: {count} processes", in_processes(of, count, count * (1 if quick else 4)))
    for count in populations:
        keep(f"{compared}: population of {count}", population(of, count))
    count = 2 if quick else 32
    for precision in Precision:
        runtime = dataclasses.replace(of.runtime, precision=precision)
        keep(
            f"{compared}: population of {count}, {precision}",
            population(dataclasses.replace(of, runtime=runtime), count),
        )
    print(table(found))


def keeper(found: dict[str, Any], out: Path) -> Callable[[str, Mapping[str, Any]], None]:
    """Returns a function that adds a row and writes all rows so far, so that a lost machine loses only later rows."""

    def keep(name: str, row: Mapping[str, Any]) -> None:
        found["rows"].append({"name": name, **row})
        out.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name}: {row}", flush=True)

    return keep


def task(space: str, epochs: int, quick: bool) -> Task:
    """Returns the task of a space on the first device."""
    import jax

    info = prepare(small_mnist() if quick else "mnist")
    split = Split.STRATIFIED if quick else Split.BLOCK
    protocol = EvaluationProtocol(dataset=info.name, data_sha256=info.sha256, split=split, epochs=epochs)
    on_cpu = jax.devices()[0].platform == "cpu"
    runtime = Runtime(
        backend=Backend.JAX,
        device=Device.CPU if on_cpu else Device.GPU,
        gpus=() if on_cpu else ("0",),
        deterministic=False,
    )
    return Task(protocol=protocol, dataset=info, space_source=space, runtime=runtime)


def trials(of: Task, count: int, *, seeds_only: bool = False, epochs: int | None = None) -> list[Trial]:
    """Returns ``count`` baselines, which differ in their seed, or in their learning rate from 3e-4 to 3e-3."""
    config = registry.load(of.space_source).baseline
    rates = [config["learning_rate"] if seeds_only else 3e-4 * 10 ** (n / max(1, count - 1)) for n in range(count)]
    full = epochs or of.protocol.epochs
    return [
        Trial(number=n, config={**config, "learning_rate": rate}, seed=n, epochs=full) for n, rate in enumerate(rates)
    ]


def population(of: Task, count: int, *, seeds_only: bool = False) -> dict[str, Any]:
    """Trains trials together: first one epoch, which compiles, then all epochs, which are timed."""
    from search.training.vectorized.scheduler import PopulationScheduler

    with cold_cache(of) as cold:
        scheduler = PopulationScheduler(cold, max_members=count)
        began = time.perf_counter()
        train(scheduler, trials(of, count, epochs=1))
        cold_seconds = time.perf_counter() - began
        compiled = [
            function
            for program in scheduler.programs
            for key, function in program.compiled.items()
            if key[0] == "train"
        ]
        costs = compiled[0].cost_analysis() if compiled else {}
        building = sum(program.compile_seconds for program in scheduler.programs)
        began = time.perf_counter()
        outcomes = train(scheduler, trials(of, count, seeds_only=seeds_only))
        seconds = time.perf_counter() - began
    steps = of.protocol.epochs * -(-of.dataset.training_count * 5 // 6 // 200)
    return {
        **summary(outcomes, seconds),
        "compile_seconds": round(building, 2),
        "first_epoch_seconds": round(cold_seconds, 2),
        "together": max((outcome.environment.get("population", 0) for outcome in outcomes), default=0),
        # XLA counts the body of a loop once: a step of all members, each of 200 images.
        "tflops": costs.get("flops", 0.0) * steps / seconds / 1e12,
        "gbytes_per_second": costs.get("bytes accessed", 0.0) * steps / seconds / 1e9,
    }


def train(scheduler: Any, together: Sequence[Trial]) -> list[Outcome]:
    """Trains trials together until the last has ended."""
    from search.training.epochs import Hooks

    outcomes = [outcome for trial in together if (outcome := scheduler.add(trial, Hooks())) is not None]
    while len(scheduler):
        outcomes += [outcome for _, outcome in scheduler.train_epoch()]
    return outcomes


def one_by_one(of: Task, count: int) -> dict[str, Any]:
    """Trains trials one after the other in this process, each by Keras's fit, after a first one that is not timed."""
    from search.training.trainer import Trainer

    trainer = Trainer(of)
    trainer.run(trials(of, 1, epochs=1)[0])
    began = time.perf_counter()
    outcomes = []
    for trial in trials(of, count):
        outcomes.append(trainer.run(trial))
        trainer.free_memory()
    return summary(outcomes, time.perf_counter() - began)


def in_processes(of: Task, processes: int, count: int) -> dict[str, Any]:
    """Trains trials in several processes on one device, after a first epoch in each that is not timed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(local_executor(of, workers=processes, log_dir=Path(folder))) as executor,
    ):
        run_trials(executor, trials(of, processes, epochs=1))
        began = time.perf_counter()
        outcomes = run_trials(executor, trials(of, count))
        return summary(outcomes, time.perf_counter() - began)


def summary(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Returns the figures of one way of training, and the message of the first failure."""
    errors = [outcome.error_percent for outcome in outcomes if outcome.error_percent is not None]
    failed = [f"{outcome.cause}: {outcome.message}" for outcome in outcomes if outcome.traceback]
    return {
        "trials": len(outcomes),
        "seconds": round(seconds, 3),
        "trials_an_hour": round(3600 * (len(outcomes) - len(failed)) / seconds, 1),
        "error_percent": round(fmean(errors), 3) if errors else None,
        "failed": failed[:1],
    }


@contextmanager
def cold_cache(of: Task) -> Iterator[Task]:
    """Yields the task with its data in a cache without compiled programs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "datasets" / "data"
        place.parent.mkdir()
        place.symlink_to(of.dataset.folder, target_is_directory=True)
        yield dataclasses.replace(of, dataset=dataclasses.replace(of.dataset, folder=str(place)))


def ceilings(side: int) -> dict[str, float]:
    """Returns TFLOP/s of products of square matrices by type, and GB/s read and written by a copy."""
    import jax
    import jax.numpy as jnp

    def best(function: Callable[[], Any]) -> float:
        jax.block_until_ready(function())
        taken = []
        for _ in range(CEILING_ROUNDS):
            began = time.perf_counter()
            jax.block_until_ready(function())
            taken.append(time.perf_counter() - began)
        return min(taken)

    ceiling: dict[str, float] = {}
    for kind in (jnp.float32, jnp.bfloat16):
        matrix = jnp.ones((side, side), kind)
        product = jax.jit(lambda array: array @ array)
        ceiling[f"tflops_{matrix.dtype}"] = 2 * side**3 / best(lambda f=product, m=matrix: f(m)) / 1e12
    matrix = jnp.ones((side, side), jnp.float32)
    copy = jax.jit(lambda array: array + 1)
    ceiling["gbytes_per_second"] = 2 * matrix.nbytes / best(lambda: copy(matrix)) / 1e9
    return {name: round(value, 3) for name, value in ceiling.items()}


def table(found: Mapping[str, Any]) -> str:
    """Returns the rows as a table, below the device's ceilings."""
    ceilings = ", ".join(f"{name} {value:,.1f}" for name, value in found["ceilings"].items())
    lines = [f"{found['device']}, JAX {found['jax']}; ceilings: {ceilings}", ""]
    head = ("", "trials/h", "seconds", "compile s", "TFLOP/s", "GB/s", "error %")
    rows = [
        (row["name"], f"{row['trials_an_hour']:,.0f}", f"{row['seconds']:.2f}", *(
            f"{row[name]:.2f}" if name in row else "" for name in ("compile_seconds", "tflops", "gbytes_per_second")
        ), row["error_percent"] if not row["failed"] else row["failed"][0][:60])
        for row in found["rows"]
    ]  # fmt: skip
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head))]
    lines += [
        "  ".join(str(value).ljust(width) for value, width in zip(row, widths, strict=True)) for row in (head, *rows)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
