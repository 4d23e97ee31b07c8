import dataclasses
import zipfile
from pathlib import Path

import pytest

from search.export import model_metadata
from search.export.model_metadata import ModelMetadata

KNOWN = ModelMetadata(
    study="study",
    row="found #1",
    dataset="mnist",
    data_sha256="ab" * 32,
    is_dark=True,
    seed=7,
    epochs=10,
    config={"filters_1": 32},
    recorded="0.48 %",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    return tmp_path / "model.keras"


def test_what_was_added_is_read_and_the_rest_stays(file: Path) -> None:
    model_metadata.write(file, KNOWN)
    assert model_metadata.read(file) == KNOWN
    assert set(zipfile.ZipFile(file).namelist()) == {"config.json", model_metadata.ARCHIVE_MEMBER}


def test_models_from_elsewhere_or_of_a_newer_kind_have_none(file: Path, tmp_path: Path) -> None:
    assert model_metadata.read(file) is None
    assert model_metadata.read(tmp_path / "missing.keras") is None
    (tmp_path / "garbage.keras").write_bytes(b"no archive")
    assert model_metadata.read(tmp_path / "garbage.keras") is None
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(model_metadata.ARCHIVE_MEMBER, '{"schema": "model/2", "study": "study"}')
    assert model_metadata.read(file) is None


def test_it_survives_json(file: Path) -> None:
    hostile = dataclasses.replace(KNOWN, study='x"\n\\', row="\u2028", class_names=("caf\u00e9", "b"))
    model_metadata.write(file, hostile)
    assert model_metadata.read(file) == hostile
