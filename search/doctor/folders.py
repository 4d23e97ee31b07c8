"""Checks of the data and the folders: undamaged, writable, with free space, and with working file locks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from search.data.dataset import DatasetInfo, datasets_folder, default_cache_dir, open_training, prepare
from search.data.split import default_split, make_split_indices
from search.doctor.check_context import CheckContext
from search.doctor.checks import CheckResult, CheckStatus, format_gib
from search.preconditions import modules_in_the_way

MIN_FREE_BYTES = 2**30
"""Free space in bytes below which a check warns."""


def check_data(context: CheckContext) -> CheckResult:
    """Checks that the data set can be found, read, split and cached; repairs a damaged cache."""
    settings = context.settings
    cache = Path(settings.cache_dir) if settings.cache_dir else default_cache_dir()
    inodes = {path: path.stat().st_ino for path in datasets_folder(cache).glob("*") if path.is_dir()}
    info = prepare(settings.dataset, cache, settings.read_options)
    make_split_indices(open_training(info), split=default_split(info), seed=settings.split_seed)
    context.dataset = info
    folder, free = Path(info.folder), shutil.disk_usage(info.folder).free
    was_repaired = inodes.get(folder, 0) not in (0, folder.stat().st_ino)  # a repair makes another folder
    state = "was damaged and is repaired" if was_repaired else "is undamaged" if folder in inodes else "is new"
    fixes = ["Nothing is left to do; if it happens again, check the disk."] if was_repaired else []
    fixes += ["Free some space there, or name another folder with --cache-dir."] if free < MIN_FREE_BYTES else []
    return CheckResult(
        status=CheckStatus.WARNING if fixes else CheckStatus.OK,
        message=f"{_describe(info)}; its cache {state}, {_describe_space(free)}: {cache}",
        fix="\n".join(fixes),
        details={
            "name": info.name,
            "sha256": info.sha256,
            "image_shape": list(info.image_shape),
            "classes": info.classes,
            "training_count": info.training_count,
            "test_count": info.test_count,
            "cache": info.folder,
            "free_bytes": free,
            "was_mended": was_repaired,
        },
    )


def _describe(info: DatasetInfo) -> str:
    height, width, channels = info.image_shape
    counts = f"{info.training_count:,} training and {info.test_count:,} test images"
    return (
        f"{info.name}: {counts}, {height} x {width} x {channels}, {info.classes} classes, sha256 {info.sha256[:12]}..."
    )


def check_names(_: CheckContext) -> CheckResult:
    """Checks that no file of the working folder stands in the way of this project's packages."""
    in_the_way = modules_in_the_way(Path.cwd())
    if not in_the_way:
        return CheckResult(message="no other module named search or spaces is in the way")
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"python -m search and import search take {', '.join(map(str, in_the_way))} for this project's",
        fix="Rename it, or work in another folder.",
        details={"in_the_way": [str(path) for path in in_the_way]},
    )


def check_studies(context: CheckContext) -> CheckResult:
    """Checks the folder of the studies' records."""
    return check_folder(Path(context.settings.studies_dir), "--studies-dir")


def check_reports(context: CheckContext) -> CheckResult:
    """Checks the folder of the reports."""
    return check_folder(Path(context.settings.reports_dir), "--reports-dir")


def check_folder(folder: Path, option: str) -> CheckResult:
    """Writes and locks a file in a folder, or in its nearest existing parent, as a search does.

    Args:
        folder: The folder.
        option: The option that names another folder.
    """
    folder, fix = folder.absolute(), f"Name another folder with {option}."
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return CheckResult(status=CheckStatus.FAILED, message=f"{nearest} is not a folder", fix=fix)
    try:
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".doctor-") as temporary:
            is_locked = _lock_holds(Path(temporary) / "lock")
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        reason = getattr(error, "strerror", None) or error
        return CheckResult(status=CheckStatus.FAILED, message=f"{nearest} cannot be written to: {reason}", fix=fix)
    free = shutil.disk_usage(nearest).free
    parts = ["writable" if folder == nearest else "can be made"]
    parts.append("file locks work" if is_locked else "file locks do not work, so two runs of one study would mix")
    parts.append(_describe_space(free))
    is_fine = is_locked and free >= MIN_FREE_BYTES
    return CheckResult(
        status=CheckStatus.OK if is_fine else CheckStatus.WARNING,
        message=f"{', '.join(parts)}: {folder}",
        fix="" if is_fine else fix if not is_locked else f"Free some space there. {fix}",
        details={"folder": str(folder), "exists": folder == nearest, "locks": is_locked, "free_bytes": free},
    )


def _describe_space(free: int) -> str:
    return f"{'only ' if free < MIN_FREE_BYTES else ''}{format_gib(free)} free"


def _lock_holds(path: Path) -> bool:
    """Returns whether a locked file cannot be locked again."""
    with FileLock(path, timeout=0):
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True
