"""The cost model on recorded studies: the error of each prediction from what had run before, and its prior fitted anew.

    python benchmarks/cost.py reports/published                          # errors by study
    python benchmarks/cost.py reports/published mine=digits.npz --fit    # and SECONDS_PER_UNIT from all of them

A STUDY is a folder or a file as ``leaderboard`` takes it; ``=DATASET`` names its data set where the recorded name does
not find it. A study to fit from needs many configurations and few epochs, on a machine that does nothing else::

    python -m search run --space cnn --sampler random --pruner none --no-recipes --epochs 2 --trials 40 --finalists 0
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import table

from search.data.dataset import prepare
from search.records.lookup import find_studies
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.study import cost
from search.study.cost import CostModel, Observation
from search.trial import config_key
from spaces import registry

FIT_KIND_DEVIATION = 1.5
"""Deviation of a kind's seconds from the shipped ones, as a logarithm, in a fit from many studies."""
FIT_ROUNDS = 20


def main() -> None:
    """Prints the errors by study, and the fitted prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="STUDY[=DATASET]")
    parser.add_argument("--fit", action="store_true", help="fit SECONDS_PER_UNIT to all studies together")
    options = parser.parse_args()
    observed: dict[str, list[Observation]] = {}
    rows = []
    for argument in options.studies:
        reference, _, dataset = argument.partition("=")
        for found in find_studies([reference], StudyLocation(studies_dir=Path("studies"))):
            name, model = found.source, prior(found.record, dataset)
            ended = [record for record in found.record.trials if record.outcome]
            observed[name] = [seen for record in ended if (seen := model.observe(record)) is not None]
            rows.append([name, len(observed[name]), *summarize(model, observed[name])])
    table(["study", "trainings", "median error", "largest tenth from", "new configurations, median", "bias"], rows)
    if options.fit:
        print_prior(list(observed.values()))


def prior(record: StudyRecord, dataset: str) -> CostModel:
    """Returns the shipped model for a study."""
    header = record.header
    data = prepare(dataset or header.protocol.dataset)
    return CostModel.for_data(registry.load(header.space_source).workload, header.protocol, data)


def summarize(model: CostModel, observed: Sequence[Observation]) -> list[float]:
    """Returns figures of the relative errors of each prediction from the observations before it."""
    errors, new = [], []
    for count in range(1, len(observed)):
        earlier, seen = observed[:count], observed[count]
        error = model.fit(earlier).work_seconds(seen.config, seen.work) / seen.seconds - 1.0
        errors.append(error)
        if config_key(seen.config) not in {config_key(other.config) for other in earlier}:
            new.append(error)
    return [
        float(np.median(np.abs(errors))),
        float(np.quantile(np.abs(errors), 0.9)),
        float(np.median(np.abs(new))) if new else math.nan,
        float(np.median(errors)),
    ]


def print_prior(studies: Sequence[Sequence[Observation]]) -> None:
    """Prints the seconds of each kind of work, fitted to all studies, each with its own speed of the machine."""
    seconds_per_unit = np.array(list(cost.SECONDS_PER_UNIT.values()))
    shipped, speeds = seconds_per_unit, np.ones(len(studies))
    work = np.concatenate([[seen.work for seen in study] for study in studies])
    study_of = np.repeat(np.arange(len(studies)), [len(study) for study in studies])
    seconds = np.array([seen.seconds for study in studies for seen in study])
    for _ in range(FIT_ROUNDS):
        residuals = np.log(seconds / (work @ seconds_per_unit))
        speeds = np.array([np.median(residuals[study_of == number]) for number in range(len(studies))])
        seconds_per_unit = cost.fit_seconds_per_unit(
            work,
            seconds / np.exp(speeds - speeds.mean())[study_of],
            shipped,
            math.hypot(cost.NOISE_DEVIATION, cost.CONFIG_DEVIATION),
            kind_deviation=FIT_KIND_DEVIATION,
        )
    print("\nSpeed of each study, as a factor of the seconds:", np.exp(speeds - speeds.mean()).round(2))
    for kind, value in zip(cost.SECONDS_PER_UNIT, seconds_per_unit, strict=True):
        print(f'        "{kind}": {value:.3g},')


if __name__ == "__main__":
    main()
