"""Checks options that depend on each other, on installed extras or on folders. Called by ``search.session.plan``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from search.errors import UserError, missing_extra
from search.execution.ray.connection import check_address
from search.files import check_location
from search.session.runtime import parse_choice
from search.session.settings import ExecutorName, Settings, flag
from search.training.runtime import Backend


def check_executor(settings: Settings) -> None:
    """Raises a UserError for an executor that cannot run trials or keep their states."""
    executor = parse_choice(ExecutorName, settings.executor, "executor")
    if executor is ExecutorName.VECTORIZED:
        _check_vectorized(settings)
    if executor is ExecutorName.RAY and importlib.util.find_spec("ray") is None:
        raise missing_extra("--executor ray", "ray")
    if executor is not ExecutorName.RAY and settings.address is not None:
        raise UserError(
            f"Only a Ray cluster has an address. Received: --address {settings.address} --executor {executor}.",
            hint="Add --executor ray.",
        )
    if settings.address is not None:
        check_address(settings.address)


def _check_vectorized(settings: Settings) -> None:
    """Raises a UserError for options that the vectorized executor does not support."""
    received = f"Received: --executor {settings.executor}"
    if settings.keras_backend != Backend.JAX:
        raise UserError(
            f"The vectorized executor trains on JAX. {received} --backend {settings.backend}.",
            hint="Leave --backend out, or use --executor local.",
        )
    if settings.folds is not None:
        raise UserError(
            f"Trials that are trained together share their images, so folds are not supported. {received} "
            f"--folds {settings.folds}.",
            hint="Use --executor local.",
        )
    if settings.ordered and settings.workers is None:
        raise UserError(
            "The free memory decides how many trials are trained together, and their number decides what is proposed. "
            f"Expected: --workers N. {received} --ordered.",
            hint="Set the number of workers, for example --workers 8.",
        )
    for name in ("trial_timeout", "trial_memory"):
        if getattr(settings, name) is not None:
            raise UserError(
                f"Trials that are trained together share time and memory; a single one cannot be limited. "
                f"{received} {flag(name)}.",
                hint="Leave it out, or use --executor local.",
            )


def check_outputs(settings: Settings) -> None:
    """Raises a UserError for a folder that cannot be written to, or for logs without the library that writes them."""
    for name, module in (("tensorboard", "tensorboardX"), ("mlflow", "mlflow")):
        if getattr(settings, name) is not None and importlib.util.find_spec(module) is None:
            raise missing_extra(flag(name), name)
    folders = ["studies_dir", "reports_dir", "tensorboard"]
    if settings.checkpoint_dir is not None:
        check_location(settings.checkpoint_dir, "--checkpoint-dir")
        folders += ["checkpoint_dir"] if "://" not in settings.checkpoint_dir else []
    for name in folders:
        if getattr(settings, name) is None:
            continue
        folder = Path(getattr(settings, name))
        nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            reason = "is not a folder" if not nearest.is_dir() else "cannot be written to"
            raise UserError(
                f"{nearest} {reason}. Received: {flag(name)} {folder}.", hint=f"Name another with {flag(name)}."
            )
