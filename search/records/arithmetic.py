"""What decides the bits of a study's results beside seeds and versions: backend, precision, threads, CPU kernels.

A study goes on with its own arithmetic, since errors are comparable bit for bit only where it is equal, and one row of
the leaderboard is not to hold runs of two. ``require_same_arithmetic`` is the one check of a run against a record.
Called by sessions, reproduction and the leaderboard; ``Runtime.arithmetic`` in ``search.training.runtime`` is that of a
worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self, TypeVar

from search.errors import UserError
from search.records.record import LEGACY_DEFAULTS, StudyRecord
from search.trial import THREADS_KEY

E = TypeVar("E", bound=StrEnum)

KERNELS_KEY, LEGACY_ONEDNN_KEY, LAYERS_KEY = "kernels", "onednn", "layers"
"""Keys of a recorded environment: TensorFlow's kernels as it reports them; in older records, the variable's value; the
layers, which older records lack."""
ONEDNN_BY_DEFAULT = frozenset({"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile"})
"""Vector instructions with which TensorFlow uses oneDNN unless told otherwise.

Source: ``DefaultOneDnnPolicy`` in TensorFlow's ``core/util/port.cc``, for x86 on Linux.
"""


class Kernels(StrEnum):
    """Libraries by which TensorFlow computes convolutions and matrix products on a CPU; they round differently.

    onednn  oneDNN, up to twice as fast for convolutions
    eigen   TensorFlow's own kernels
    """

    ONEDNN = "onednn"
    EIGEN = "eigen"


class Layers(StrEnum):
    """How common layers and Adam compute with TensorFlow on a CPU: the same functions, other rounding.

    compiled  as fast, and GELU of feature maps is compiled by XLA
    fast      ``search.training.tensorflow_cpu``; dropout draws other random numbers than Keras does
    keras     Keras's own, as in versions that recorded none
    """

    COMPILED = "compiled"
    FAST = "fast"
    KERAS = "keras"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What decides the bits of a training beside its seed, device and versions.

    None is a value that is unknown, not chosen yet, or without effect; it agrees with every other.

    Args:
        backend: Keras's backend.
        precision: Precision of matrix products and convolutions.
        threads: Threads of an operation on a CPU.
        kernels: TensorFlow's kernels on a CPU.
        layers: Implementation of layers with TensorFlow on a CPU.
    """

    backend: str | None = None
    precision: str | None = None
    threads: int | None = None
    kernels: Kernels | None = None
    layers: Layers | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, Any]) -> Self:
        """Returns that of a recorded environment, empty or of any version."""
        if not environment:
            return cls()
        environment = {**LEGACY_DEFAULTS, **environment}
        is_on_cpu = environment.get("device", "CPU") == "CPU"
        return cls(
            backend=environment.get("backend"),
            precision=environment["precision"],
            threads=environment.get(THREADS_KEY) if is_on_cpu else None,
            kernels=recorded_kernels(environment),
            layers=recorded_layers(environment),
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Returns the value whose fields are in a document; unknown kernels and layers are None."""
        return cls(
            backend=document.get("backend"),
            precision=document.get("precision"),
            threads=document.get("threads"),
            kernels=_known(Kernels, document.get("kernels")),
            layers=_known(Layers, document.get("layers")),
        )

    def options(self) -> dict[str, str]:
        """Returns the known values by the flags that set them."""
        values = {f"--{field.name}": getattr(self, field.name) for field in fields(self)}
        return {flag: str(value) for flag, value in values.items() if value is not None}

    def differences(self, other: Arithmetic) -> list[str]:
        """Returns the flags of the values that are known of both and differ."""
        here, there = self.options(), other.options()
        return [flag for flag in here if flag in there and here[flag] != there[flag]]


def recorded_kernels(environment: Mapping[str, Any]) -> Kernels | None:
    """Returns the kernels that a recorded environment names; None if it names none, or not reliably.

    Before ``kernels`` was recorded, ``onednn`` was: whether a variable did not turn oneDNN off. False is reliable. True
    is reliable on the processors for which TensorFlow turns oneDNN on by itself.
    """
    if environment.get("device", "CPU") != "CPU":
        return None
    if (name := environment.get(KERNELS_KEY)) is not None:
        return _known(Kernels, name)
    match environment.get(LEGACY_ONEDNN_KEY):
        case False:
            return Kernels.EIGEN
        case True if ONEDNN_BY_DEFAULT.intersection(str(environment.get("processor_kind", "")).split()):
            return Kernels.ONEDNN
        case _:
            return None


def recorded_layers(environment: Mapping[str, Any]) -> Layers | None:
    """Returns the layers of a recorded environment; None with another backend than TensorFlow, and on a GPU."""
    is_on_cpu = environment.get("device", "CPU") == "CPU"
    if not is_on_cpu or environment.get("backend", "tensorflow") != "tensorflow":
        return None
    return _known(Layers, environment.get(LAYERS_KEY, Layers.KERAS))


def _known(kind: type[E], name: object) -> E | None:
    """Returns the member of a name; None for another, as of a later version."""
    return next((member for member in kind if member == name), None)


def with_reliable_kernels(environment: Mapping[str, Any], *, unreliable: str | None = None) -> dict[str, Any]:
    """Returns an environment with ``kernels`` in place of ``onednn``, at the same place.

    Args:
        environment: As recorded.
        unreliable: Value for kernels that are not recorded reliably; None to leave them out.
    """
    values = dict[str, Any]()
    for name, value in environment.items():
        if name != LEGACY_ONEDNN_KEY:
            values[name] = value
        elif (kernels := recorded_kernels(environment) or unreliable) is not None:
            values[KERNELS_KEY] = str(kernels)
    return values


def study_arithmetic(record: StudyRecord) -> Arithmetic:
    """Returns the arithmetic with which a study goes on: its coordinators' choice, or the latest known of each value.

    Older versions let a study's threads and kernels change, so its trials may hold several values.
    """
    newest_first = [Arithmetic.from_environment(trial.environment) for trial in reversed(record.trials)]
    if record.arithmetic:
        newest_first.insert(0, Arithmetic.from_json(record.arithmetic))
    latest = {
        field.name: next((value for each in newest_first if (value := getattr(each, field.name)) is not None), None)
        for field in fields(Arithmetic)
    }
    return Arithmetic(**latest)


def require_same_arithmetic(record: StudyRecord, requested: Arithmetic) -> None:
    """Checks that a study's further trials compute as its recorded ones did.

    Args:
        record: The study.
        requested: What the run was given or has chosen.

    Raises:
        UserError: Something differs; the message names each difference, and the hint the options that continue.
    """
    recorded = study_arithmetic(record)
    if not (differing := requested.differences(recorded)):
        return
    here, there = requested.options(), recorded.options()
    words = "; ".join(
        f"{flag.removeprefix('--')} (recorded {there[flag]}, received {here[flag]})" for flag in differing
    )
    continued = " ".join(f"{flag} {there[flag]}" for flag in differing)
    raise UserError(
        f"Study {record.header.name!r} was run with another arithmetic, so errors at an equal seed would differ. "
        f"It differs in {words}.",
        hint=f"Continue with {continued}, or start another study with --study NAME.",
    )
