"""From a real search to the page that it leaves, in a real browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import search
from tests.browser.conftest import Browser


@pytest.mark.slow
def test_a_search_leaves_a_page_that_shows_what_it_found(
    tmp_path: Path, small_mnist: Path, cache_dir: Path, browser: Browser
) -> None:
    study = search.run(
        space="mlp", fix={"width_1": 64}, tune=("learning_rate", "batch_size"),
        trials=3, epochs=2, replicates=2, workers=1, threads=1, seed=1,
        dataset=small_mnist, cache_dir=cache_dir,
        studies_dir=tmp_path / "studies", reports_dir=tmp_path / "reports",
    )  # fmt: skip
    (page,) = (path for path in study.reports if path.suffix == ".html")
    browser.show(page)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return document.documentElement.dataset.charts") == "drawn"
    (section,) = study.board.sections
    chosen = section.headline
    assert browser.texts("h1 .figure")[0].split() == [f"{chosen.test_error.mean:.2f}", "%"]
    assert len(browser.texts(".board .toggle")) == len(section.rows) + len(section.ensembles)

    with np.load(small_mnist) as data:
        images, labels = data["x_test"], data["y_test"]
    shown = browser.run(
        "return [...document.querySelectorAll('.mistakes li')].map((one) => "
        "[Number(one.title.split(' ')[2]), one.querySelector('img').src, one.querySelector('b').textContent])"
    )
    missed = {index for run in chosen.completed_replicates for index in run.wrong}
    assert {index for index, _, _ in shown} <= missed
    assert len(shown) == min(72, len(missed))
    for index, picture, true in shown:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))))
        assert (pixels == images[index]).all()
        assert int(true) == labels[index]
    right = browser.run(
        "return [...document.querySelectorAll('.confusion .right')].map((one) => Number(one.textContent))"
    )
    assert sum(right) == pytest.approx(len(labels) * (1 - chosen.test_error.mean / 100), abs=6)
