"""The data and the folders: found, undamaged, writable, with room, and with locks that hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from search.data.dataset import DatasetInfo, default_cache_dir, open_training, prepare
from search.data.split import default_split, make_split_indices
from search.doctor.check_context import CheckContext
from search.doctor.check_result import CheckResult, CheckStatus, format_gib

MIN_FREE_BYTES = 2**30
"""Bytes below which a disk is called nearly full."""


def check_data(context: CheckContext) -> CheckResult:
    """The data set: found, read, split and cached; a damaged cache is made again."""
    settings = context.settings
    cache = Path(settings.cache_dir) if settings.cache_dir else default_cache_dir()
    before = _cached_inodes(cache)
    info = prepare(settings.dataset, Path(settings.cache_dir) if settings.cache_dir else None)
    make_split_indices(open_training(info), split=default_split(info), seed=settings.split_seed)
    context.dataset = info
    folder, free = Path(info.folder), shutil.disk_usage(info.folder).free
    is_new, was_repaired = folder not in before, before.get(folder, 0) not in (0, folder.stat().st_ino)
    state = "was damaged and is mended" if was_repaired else "is new" if is_new else "is undamaged"
    details = {**_facts(info), "cache": info.folder, "free_bytes": free, "was_mended": was_repaired}
    room = f"{'only ' if free < MIN_FREE_BYTES else ''}{format_gib(free)} free"
    fixes = ["Nothing is left to do; where it happens again, look after the disk."] if was_repaired else []
    fixes += ["Free some space there, or name another folder with --cache-dir."] if free < MIN_FREE_BYTES else []
    return CheckResult(
        status=CheckStatus.WARNING if fixes else CheckStatus.OK,
        message=f"{_describe(info)}; its cache {state}, {room}: {cache}",
        fix="\n".join(fixes),
        details=details,
    )


def _cached_inodes(cache: Path) -> dict[Path, int]:
    """Returns the data sets in a cache, each with what identifies its folder: a mended one is another folder."""
    folders = (cache.absolute() / "datasets").glob("*")
    return {path: path.stat().st_ino for path in folders if path.is_dir()}


def _facts(info: DatasetInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "sha256": info.sha256,
        "image_shape": list(info.image_shape),
        "classes": info.classes,
        "training_count": info.training_count,
        "test_count": info.test_count,
    }


def _describe(info: DatasetInfo) -> str:
    height, width, channels = info.image_shape
    counts = f"{info.training_count:,} training and {info.test_count:,} test images"
    return (
        f"{info.name}: {counts}, {height} x {width} x {channels}, {info.classes} classes, sha256 {info.sha256[:12]}..."
    )


def check_studies(context: CheckContext) -> CheckResult:
    """The folder of the studies' records."""
    return check_folder(Path(context.settings.studies_dir), "--studies-dir")


def check_reports(context: CheckContext) -> CheckResult:
    """The folder of the reports."""
    return check_folder(Path(context.settings.reports_dir), "--reports-dir")


def check_folder(folder: Path, option: str) -> CheckResult:
    """Tries a folder, or the one it would be made in, by what a search does there: files that are written and locked.

    Args:
        folder: The folder.
        option: The option that names another one.
    """
    folder, fix = folder.absolute(), f"Name another folder with {option}."
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return CheckResult(status=CheckStatus.FAILED, message=f"{nearest} is not a folder", fix=fix)
    try:
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".doctor-") as temporary:
            is_locked = _lock_holds(Path(temporary) / "lock")
    except (OSError, NotImplementedError) as error:  # the second: a file system without locks
        reason = getattr(error, "strerror", None) or error
        return CheckResult(status=CheckStatus.FAILED, message=f"{nearest} cannot be written to: {reason}", fix=fix)
    free = shutil.disk_usage(nearest).free
    parts = ["writable" if folder == nearest else "can be made"]
    parts.append("file locks work" if is_locked else "file locks do not hold, so two runs of one study would mix")
    parts.append(f"{format_gib(free)} free" if free >= MIN_FREE_BYTES else f"only {format_gib(free)} free")
    is_fine = is_locked and free >= MIN_FREE_BYTES
    return CheckResult(
        status=CheckStatus.OK if is_fine else CheckStatus.WARNING,
        message=f"{', '.join(parts)}: {folder}",
        fix="" if is_fine else fix if not is_locked else f"Free some space there. {fix}",
        details={"folder": str(folder), "exists": folder == nearest, "locks": is_locked, "free_bytes": free},
    )


def _lock_holds(path: Path) -> bool:
    """Says whether a lock on a file keeps a second one away, as the studies' own do."""
    with FileLock(path, timeout=0):
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True
