"""Tests of the sampler alone, as any Optuna study uses it: Optuna's own tests of samplers, and what it promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import TrialState

from search.engines.hub.samplers import screened_mutation
from search.engines.hub.samplers.screened_mutation import PARENT_KEY, NothingFits, ScreenedMutationSampler

SHORT, FULL = 2, 10
PACKAGE = Path(screened_mutation.__file__).parent

SAMPLERS = {
    "every trial is full": partial(ScreenedMutationSampler, seed=0),
    "screened": partial(ScreenedMutationSampler, fidelity="epochs", short=SHORT, full=FULL, seed=0),
}


class TestAsOptunaTestsSamplers(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        made: Callable[[], BaseSampler] = SAMPLERS[request.param]
        return made


def bowl(trial: optuna.Trial, *, sign: float = 1.0) -> float:
    """A loss with a conditional parameter, higher and less exact after a short training."""
    epochs = trial.suggest_categorical("epochs", [SHORT, FULL])
    loss = sum((trial.suggest_float(f"x{index}", 0.0, 1.0) - 0.7) ** 2 for index in range(6))
    loss += 0.0 if trial.suggest_categorical("activation", ["relu", "gelu", "silu"]) == "gelu" else 0.1
    if trial.suggest_int("layers", 1, 2) == 2:
        loss += (trial.suggest_float("width", 1.0, 100.0, log=True) / 100.0 - 0.3) ** 2 - 0.05
    noise = np.random.default_rng(trial.number).normal(0.0, 0.02 if epochs == SHORT else 0.005)
    return sign * (loss + (0.3 if epochs == SHORT else 0.0) + noise)


START = {"epochs": FULL, **{f"x{index}": 0.2 for index in range(6)}, "activation": "relu", "layers": 1}


def studied(*, trials: int = 60, seed: int = 0, start: bool = True, sign: float = 1.0) -> optuna.Study:
    sampler = ScreenedMutationSampler(fidelity="epochs", short=SHORT, full=FULL, seed=seed)
    study = optuna.create_study(sampler=sampler, direction="minimize" if sign > 0 else "maximize")
    if start:
        study.enqueue_trial(START)
    study.optimize(partial(bowl, sign=sign), n_trials=trials)
    return study


def full_losses(study: optuna.Study) -> list[float]:
    return [trial.values[0] for trial in study.trials if trial.params["epochs"] == FULL]


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_improves_on_its_start_in_either_direction(start: bool, sign: float) -> None:
    losses = [sign * value for value in full_losses(studied(start=start, sign=sign))]
    assert min(losses) < losses[0] / 2


def test_the_start_is_trained_in_full_and_its_short_training_follows() -> None:
    first, second = studied(trials=2).trials
    assert first.params == START
    assert second.params == {**START, "epochs": SHORT}


def test_while_one_full_training_has_ended_the_one_that_runs_is_improved() -> None:
    sampler = ScreenedMutationSampler(fidelity="epochs", short=SHORT, full=FULL, seed=0)
    study = optuna.create_study(sampler=sampler)
    better = {**START, "x0": 0.7, "activation": "gelu"}
    study.enqueue_trial(START)
    study.enqueue_trial(better)
    baseline, running = study.ask(), study.ask()
    study.tell(baseline, bowl(baseline))
    bowl(running)
    for number in range(2, 8):
        trial = study.ask()
        study.tell(trial, bowl(trial))
        assert study.trials[number].system_attrs[PARENT_KEY] != baseline.number
    study.tell(running, state=TrialState.FAIL)
    trial = study.ask()
    bowl(trial)
    assert study.trials[trial.number].system_attrs[PARENT_KEY] == baseline.number


def test_short_trainings_are_mutations_and_full_ones_repeat_the_best_of_them() -> None:
    trials = studied().trials
    for trial in trials[2:]:
        parent = trials[trial.system_attrs[PARENT_KEY]].params
        changed = {name for name in parent.keys() & trial.params.keys() if parent[name] != trial.params[name]}
        if trial.params["epochs"] == FULL:
            assert changed == {"epochs"}
        else:
            assert 1 <= len(changed - {"epochs"}) <= 3
    short = [trial for trial in trials if trial.params["epochs"] == SHORT]
    assert len(short) > len(trials) - len(short)


def test_equal_seeds_give_equal_trials_and_others_do_not() -> None:
    proposed = [[trial.params for trial in studied(trials=30, seed=seed).trials] for seed in (3, 3, 4)]
    assert proposed[0] == proposed[1] != proposed[2]


def test_a_sampler_that_has_read_the_trials_proposes_what_a_new_one_does() -> None:
    def proposed(next_sampler: Callable[[int], BaseSampler]) -> list[dict[str, object]]:
        study = optuna.create_study()
        study.enqueue_trial(START)
        for seed in range(30):
            study.sampler = next_sampler(seed)
            trial = study.ask()
            if seed % 7 == 3:
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, bowl(trial))
        return [trial.params for trial in study.trials]

    settings = {"fidelity": "epochs", "short": SHORT, "full": FULL}
    kept = ScreenedMutationSampler(**settings)
    new = proposed(lambda seed: ScreenedMutationSampler(**settings, seed=seed))
    assert proposed(kept.with_seed) == new
    assert proposed(kept.with_seed) == new  # in another study, whose trials have the same numbers


def test_no_short_training_begins_that_no_full_one_can_follow() -> None:
    left = 3 * FULL

    def can_finish(params: object, fidelity: int) -> bool:
        return fidelity <= left

    sampler = ScreenedMutationSampler(fidelity="epochs", short=SHORT, full=FULL, seed=1, can_finish=can_finish)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(START)
    with pytest.raises(NothingFits):
        while True:
            trial = study.ask()
            study.tell(trial, bowl(trial))
            left -= trial.params["epochs"]
            assert left >= 0
    ended = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert ended[-1].params["epochs"] == FULL
    assert left < FULL + SHORT


def test_what_was_far_from_the_start_when_screened_is_not_trained_in_full() -> None:
    """Every change of the start doubles its loss at least."""
    left = 5 * FULL

    def worse(trial: optuna.Trial) -> float:
        trial.suggest_categorical("epochs", [SHORT, FULL])
        values = [trial.suggest_categorical(f"x{index}", [0, 1]) for index in range(6)]
        return 1.0 + sum(values) + 0.01 * trial.number * any(values)

    sampler = ScreenedMutationSampler(
        fidelity="epochs", short=SHORT, full=FULL, seed=1, can_finish=lambda params, fidelity: fidelity <= left
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"epochs": FULL, **{f"x{index}": 0 for index in range(6)}})
    with pytest.raises(NothingFits):
        while True:
            trial = study.ask()
            study.tell(trial, worse(trial))
            left -= trial.params["epochs"]
    trained = [trial.params["epochs"] for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert trained.count(FULL) == 1
    assert trained.count(SHORT) > FULL / SHORT


def test_failures_and_values_that_are_not_finite_are_never_promoted() -> None:
    sampler = ScreenedMutationSampler(fidelity="epochs", short=SHORT, full=FULL, seed=2)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(START)
    failed = set()
    for number in range(40):
        trial = study.ask()
        loss = bowl(trial)
        params = frozenset(item for item in trial.params.items() if item[0] != "epochs")
        if number > 1 and number % 3 == 0:
            failed.add(params)
            study.tell(trial, state=TrialState.FAIL)
        else:
            assert trial.params["epochs"] == SHORT or params not in failed
            study.tell(trial, loss)


def test_it_needs_nothing_else_of_this_project() -> None:
    text = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import screened_mutation; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd="/")
    modules = ran.stdout.split()
    assert not [name for name in modules if name.partition(".")[0] in ("search", "spaces", "keras", "tensorflow")]


def test_a_fidelity_without_its_values_is_refused() -> None:
    with pytest.raises(ValueError, match="short"):
        ScreenedMutationSampler(fidelity="epochs", short=2)
