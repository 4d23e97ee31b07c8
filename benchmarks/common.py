"""What the benchmarks share: a task on the embedded MNIST, and rows printed side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task

EMBEDDED = Path(__file__).parents[1] / "search" / "data" / "embedded" / "mnist.npz"


def task(dataset: str = "mnist", *, epochs: int = 10, threads: int = 1) -> Task:
    """Returns a task for the space cnn on the CPU."""
    info = prepare(dataset)
    split = Split.BLOCK if dataset == "mnist" else Split.STRATIFIED
    protocol = EvaluationProtocol(dataset=info.name, data_sha256=info.sha256, split=split, epochs=epochs)
    runtime = Runtime(device=Device.CPU, threads=threads)
    return Task(protocol=protocol, dataset=info, space_source="cnn", runtime=runtime)


def small_mnist() -> str:
    """Returns the path of an .npz file with 1,200 training and 300 test images."""
    path = Path(tempfile.mkdtemp()) / "small.npz"
    with np.load(EMBEDDED) as whole:
        counts = {"x_train": 1200, "y_train": 1200, "x_test": 300, "y_test": 300}
        np.savez(path, **{name: whole[name][:count] for name, count in counts.items()})
    return str(path)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a Markdown table."""
    from tabulate import tabulate

    print(tabulate(list(rows), headers=list(heads), tablefmt="github", floatfmt=".3f"), flush=True)
