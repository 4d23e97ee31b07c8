"""Provenance: who proposed a row, what it ran on, and which version of this package made its study.

Words for the renderers; no output format. Hosts are not named: a processor says what a time was measured on.
"""

from __future__ import annotations

from search.leaderboard.board import Row
from search.records.record import StudyHeader

PACKAGE = "keras-image-search"
NO_ENGINE = "none"


def engine_label(study: StudyHeader) -> str:
    """Returns "optuna:tpe"; nothing for a study that proposes nothing."""
    return "" if study.engine == NO_ENGINE else f"{study.engine}:{study.sampler}"


def machine_label(row: Row) -> str:
    """Returns the GPU, or the processor and its cores: "AMD EPYC, 2 cores"; nothing where it was not recorded."""
    environment = row.environment
    device, processor, cores = (str(environment.get(key, "")) for key in ("device", "processor", "cores"))
    if device not in ("", "CPU"):
        return device
    return f"{processor}, {cores} cores" if processor and cores else processor


def package_version(study: StudyHeader) -> str:
    """Returns the version of this package; nothing where it was not recorded."""
    return study.versions.get(PACKAGE, "")
