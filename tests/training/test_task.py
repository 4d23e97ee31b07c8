"""The images of each phase, and the weights of their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_data import save_npz

from search.data.dataset import prepare
from search.protocol import ClassWeight, EvaluationProtocol, Split
from search.training.runtime import Runtime
from search.training.task import Task, open_phase_images
from search.trial import Phase

LABELS = np.repeat([0, 1, 2], [40, 15, 5])


def task(folder: Path, cache_dir: Path, **protocol: object) -> Task:
    """A task on 60 training images of three classes, the first of which has 40 and the last 5."""
    dataset = prepare(save_npz(folder / "unbalanced.npz", y_train=LABELS), cache_dir)
    fields = {"dataset": dataset.name, "data_sha256": dataset.sha256, "split": Split.STRATIFIED, **protocol}
    return Task(protocol=EvaluationProtocol(**fields), dataset=dataset, space_source="mlp", runtime=Runtime())


@pytest.mark.parametrize("phase", [Phase.SEARCH, Phase.VERIFICATION])
def test_balanced_weights_let_each_class_count_alike(phase: Phase, tmp_path: Path, cache_dir: Path) -> None:
    (images,) = open_phase_images(phase, task(tmp_path, cache_dir, class_weight=ClassWeight.BALANCED))
    assert images.class_weights is not None
    assert images.class_weights * np.bincount(LABELS) == pytest.approx([20.0, 20.0, 20.0])
