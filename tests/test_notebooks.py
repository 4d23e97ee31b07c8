"""The example notebooks run from their first cell to their last, with smaller budgets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
SMALL = "trials=2, epochs=1, finalists=1, replicates=1, workers=1"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def test_a_notebook_runs(name: str, tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    budgets = 0
    for cell in notebook.cells:
        small = f"{SMALL}, cache_dir={str(cache_dir)!r}"
        small += "" if "data=" in cell.source else f", data={str(small_mnist)!r}"
        cell.source, found = re.subn(r'timeout="\d+m"', lambda _, small=small: small, cell.source)
        budgets += found
    assert budgets
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("Chosen by validation" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
    nbformat.write(notebook, tmp_path / "executed.ipynb")
