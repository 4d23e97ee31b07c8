"""The data and the folders: found, undamaged, writable, with room, and with locks that hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from search.doctor.finding import Finding, Status, gib
from search.doctor.subject import Subject
from search.training.data import DatasetInfo, default_cache_dir, open_training, prepare
from search.training.split import assign_roles, default_split

LEAST_FREE = 2**30
"""Bytes below which a disk is called nearly full."""


def check_data(subject: Subject) -> Finding:
    """The data set: found, read, split and cached; a damaged cache is made again."""
    settings = subject.settings
    cache = Path(settings.cache_dir) if settings.cache_dir else default_cache_dir()
    before = _entries(cache)
    info = prepare(settings.dataset, Path(settings.cache_dir) if settings.cache_dir else None)
    assign_roles(open_training(info), split=default_split(info), seed=settings.split_seed)
    subject.dataset = info
    folder, free = Path(info.folder), shutil.disk_usage(info.folder).free
    is_new, was_mended = folder not in before, before.get(folder, 0) not in (0, folder.stat().st_ino)
    state = "was damaged and is mended" if was_mended else "is new" if is_new else "is undamaged"
    details = {**_facts(info), "cache": info.folder, "free_bytes": free, "was_mended": was_mended}
    room = f"{'only ' if free < LEAST_FREE else ''}{gib(free)} free"
    remedies = ["Nothing is left to do; where it happens again, look after the disk."] if was_mended else []
    remedies += ["Free some space there, or name another folder with --cache-dir."] if free < LEAST_FREE else []
    return Finding(
        status=Status.WARNING if remedies else Status.OK,
        found=f"{_describe(info)}; its cache {state}, {room}: {cache}",
        remedy="\n".join(remedies),
        details=details,
    )


def _entries(cache: Path) -> dict[Path, int]:
    """Returns the data sets in a cache, each with what identifies its folder: a mended one is another folder."""
    found = (cache.absolute() / "datasets").glob("*")
    return {path: path.stat().st_ino for path in found if path.is_dir()}


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


def check_studies(subject: Subject) -> Finding:
    """The folder of the studies' records."""
    return check_folder(Path(subject.settings.studies_dir), "--studies-dir")


def check_reports(subject: Subject) -> Finding:
    """The folder of the reports."""
    return check_folder(Path(subject.settings.reports_dir), "--reports-dir")


def check_folder(folder: Path, option: str) -> Finding:
    """Tries a folder, or the one it would be made in, by what a search does there: files that are written and locked.

    Args:
        folder: The folder.
        option: The option that names another one.
    """
    folder, remedy = folder.absolute(), f"Name another folder with {option}."
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return Finding(status=Status.FAILS, found=f"{nearest} is not a folder", remedy=remedy)
    try:
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".doctor-") as temporary:
            is_locked = _lock_holds(Path(temporary) / "lock")
    except (OSError, NotImplementedError) as error:  # the second: a file system without locks
        reason = getattr(error, "strerror", None) or error
        return Finding(status=Status.FAILS, found=f"{nearest} cannot be written to: {reason}", remedy=remedy)
    free = shutil.disk_usage(nearest).free
    words = ["writable" if folder == nearest else "can be made"]
    words.append("file locks work" if is_locked else "file locks do not hold, so two runs of one study would mix")
    words.append(f"{gib(free)} free" if free >= LEAST_FREE else f"only {gib(free)} free")
    is_fine = is_locked and free >= LEAST_FREE
    return Finding(
        status=Status.OK if is_fine else Status.WARNING,
        found=f"{', '.join(words)}: {folder}",
        remedy="" if is_fine else remedy if not is_locked else f"Free some space there. {remedy}",
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
