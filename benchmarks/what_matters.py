"""Which parameters matter, over the short trials of several published studies of one space.

    python benchmarks/what_matters.py reports/published/mnist-cnn-mutation-40m reports/published/mnist-cnn-60k ...

A short trial of the default sampler changes one to three parameters of an earlier configuration. The table tells for
each in how many it was changed, how many of these had a lower calibrated loss than the short trial of the
configuration that they change, and the median ratio of the two losses. As others change with it, a row of few trials
tells little. The last column is the importance by PED-ANOVA (Optuna) over all short trials: how much the parameter
distinguishes the better tenth from the others, in the region that the searches visited.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import median

import optuna
from common import table

from search.optuna_domains import to_optuna_distributions
from search.records.lookup import find_studies
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.report.charts.importance import MIN_TOP_TRIALS
from search.trial import MUTATION_KEY, Config, Phase, config_key
from spaces import registry


def short_losses(study: StudyRecord) -> dict[str, tuple[Config, float]]:
    """Returns configuration and calibrated loss of each complete short search trial, by the configuration's key."""
    return {
        config_key(record.trial.config): (record.trial.config, record.outcome.calibrated_loss)
        for record in study.trials_in_phase(Phase.SEARCH)
        if record.trial.is_short and record.outcome is not None and record.outcome.calibrated_loss is not None
    }


def loss_ratios(study: StudyRecord) -> dict[str, list[float]]:
    """Returns the losses of mutants over those of the configurations that they change, by changed parameter."""
    losses, trials = short_losses(study), study.trials_in_phase(Phase.SEARCH)
    keys = {record.trial.number: config_key(record.trial.config) for record in trials}
    ratios: dict[str, list[float]] = defaultdict(list)
    for record in trials:
        own = losses.get(config_key(record.trial.config))
        other = losses.get(keys.get(record.trial.engine_metadata.get(MUTATION_KEY), ""))
        if record.trial.is_short and own is not None and other is not None:
            for name in {*own[0]} & {*other[0]}:
                if own[0][name] != other[0][name]:
                    ratios[name].append(own[1] / other[1])
    return ratios


def importances(studies: list[StudyRecord]) -> dict[str, float]:
    """Returns the importances of parameters over the short trials of all studies, by PED-ANOVA."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = registry.load(studies[0].header.space.name)
    pooled = optuna.create_study(direction="minimize")
    for study in studies:
        for config, loss in short_losses(study).values():
            distributions = to_optuna_distributions(space, config)
            pooled.add_trial(optuna.trial.create_trial(params=dict(config), distributions=distributions, value=loss))
    quantile = max(0.1, MIN_TOP_TRIALS / len(pooled.trials))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    return optuna.importance.get_param_importances(pooled, evaluator=evaluator)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", help="of one space, with equal epochs")
    options = parser.parse_args()
    studies = [found.record for found in find_studies(options.studies, StudyLocation(studies_dir=Path("studies")))]
    ratios: dict[str, list[float]] = defaultdict(list)
    for study in studies:
        for name, values in loss_ratios(study).items():
            ratios[name] += values
    shares = importances(studies)
    rows = [
        (name, len(values), sum(ratio < 1 for ratio in values), f"{median(values):.3f}", f"{shares.get(name, 0.0):.0%}")
        for name, values in sorted(ratios.items(), key=lambda each: median(each[1]))
    ]
    print(f"{sum(len(short_losses(study)) for study in studies)} short trials of {len(studies)} studies")
    table(["parameter", "changed in", "lower loss in", "median ratio of losses", "importance"], rows)


if __name__ == "__main__":
    main()
