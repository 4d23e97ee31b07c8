"""What must hold before anything else is imported: a platform with TensorFlow, and no stranger named ``spaces``.

Called at the start of the command line and of the Python API, and by the doctor.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from search.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds this project's packages."""
_FIRST_WORDS = '"""Search spaces in pure Python'
"""How this project's ``spaces/__init__.py`` begins; another package's file may have overwritten it."""


def check_preconditions(platform: str = sys.platform) -> None:
    """Checks the platform, and that ``import spaces`` finds this project's package.

    Raises:
        UserError: This is Windows, another package is in place of ``spaces``, or its file was overwritten or removed.
    """
    if platform == "win32":
        raise UserError(
            "Windows is not supported by itself: TensorFlow has no GPU there, and workers need Unix signals.",
            hint="Use WSL2: wsl --install, and then in its terminal the commands of the README.",
        )
    spec, own = importlib.util.find_spec("spaces"), ROOT / "spaces" / "__init__.py"
    # A folder without __init__.py has no file; it comes before an editable installation.
    files = [] if spec is None else [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    found = next((Path(file).resolve() for file in files if file), None)
    if found is not None and found not in (own, own.parent):
        raise UserError(
            f"Another module named spaces stands in the way. Expected: {own}. Received: {found}.",
            hint="Rename it, run in another folder, or uninstall the package that it belongs to.",
        )
    if found != own or not own.read_text(encoding="utf-8").startswith(_FIRST_WORDS):
        state = "is missing" if found != own else "belongs to another package"
        raise UserError(
            f"{own} {state}: installing or removing a package named spaces replaces files of this project.",
            hint="pip uninstall spaces; then install this project again: pip install --force-reinstall --no-deps .",
        )


def modules_in_the_way(folder: Path) -> list[Path]:
    """Returns the files and packages of a folder that ``python -m search`` would take for this project's."""
    candidates = [folder / name for package in ("search", "spaces") for name in (f"{package}.py", package)]
    return [
        path
        for path in candidates
        if path.resolve().parent != ROOT and (path.is_file() or (path / "__init__.py").is_file())
    ]
