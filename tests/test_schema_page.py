"""docs/schema.md agrees with the code, and has exactly the keys of real documents."""

from __future__ import annotations

import dataclasses
import gzip
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from makers import complete, header, trial

from search.leaderboard.compute import compute
from search.leaderboard.files import FORMATS
from search.records import study_json
from search.records.record import StudyRecord, TrialRecord
from search.trial import EpochReport
from spaces import registry
from tests.leaderboard import records

DOCS = Path(__file__).parents[1] / "docs"


def load() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("make_schema", DOCS / "make_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = load()


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Every key of a document with its path, such as the page writes it; maps of other names are not looked into."""
    if isinstance(value, list):
        for item in value:
            yield from keys(item, f"{path}[]")
    elif isinstance(value, dict):
        name = re.split(r"[.\]]", path)[-1]
        if name in MAKE.MAPS:
            return
        for key, item in value.items():
            if name in ("parameters", "recipes"):
                yield from keys(item, f"{path}.*")
            else:
                yield f"{path}.{key}".lstrip(".")
                yield from keys(item, f"{path}.{key}".lstrip("."))


def all_keys(documents: Iterable[Any]) -> set[str]:
    return {key for document in documents for key in keys(document)}


def test_the_page_is_what_the_script_writes() -> None:
    assert (DOCS / "schema.md").read_text(encoding="utf-8") == MAKE.page(), "run: python docs/make_schema.py"


def test_the_page_has_the_keys_of_a_study() -> None:
    running = TrialRecord(trial=trial(9), outcome=None, reports=(EpochReport(epoch=1, training_loss=0.5),))
    small = StudyRecord(header=header(), trials=(TrialRecord(trial=trial(0), outcome=complete()), running))
    shipped = dataclasses.replace(small, header=header(space=registry.load("cnn")))
    studies = [small, shipped, records.tpe(), records.reproduction()]
    documents = [json.loads(gzip.decompress(study_json.dumps(study))) for study in studies]
    assert all_keys(documents) == MAKE.paths(MAKE.STUDY)


def test_the_page_has_the_keys_of_a_board() -> None:
    pooled = [records.of_several("a", 10), records.of_several("b", 20)]
    boards = [compute(studies) for studies in ([records.tpe(), records.other()], [records.reproduction()], pooled)]
    assert all_keys(json.loads(FORMATS["json"](board)) for board in boards) == MAKE.paths(MAKE.BOARD)


def test_the_columns_of_csv_are_the_keys_of_a_row() -> None:
    header_line = FORMATS["csv"](compute([records.tpe()])).partition("\n")[0].split(",")
    names = [name for name, _, _ in MAKE.BOARD["sections[].rows[]"]]
    assert names[: names.index("replicates")] == header_line


@pytest.mark.parametrize("schema", [study_json.SCHEMA, json.loads(FORMATS["json"](compute([])))["schema"]])
def test_the_page_names_the_schema_that_is_written(schema: str) -> None:
    assert f"`{schema}`" in (DOCS / "schema.md").read_text(encoding="utf-8")
