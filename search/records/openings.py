"""How often commands have opened the test images of a study beside its own runs.

``export --score`` and ``reproduce`` append a line to a file in the study's folder, since a coordinator may hold the
ledger. A published study, or one whose folder cannot be written to, is left as it is.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

from search.records.record import OPENING_COMMANDS, utc_now

FILE_NAME = "openings.jsonl"


def record_openings(folder: Path, *, by: str, count: int) -> None:
    """Records that a command has opened the test images.

    Args:
        folder: The study's.
        by: The command, one of ``OPENING_COMMANDS``.
        count: Models that were scored; nothing is recorded for 0.
    """
    if not count:
        return
    line = json.dumps({"by": by, "count": count, "at": utc_now()}) + "\n"
    with contextlib.suppress(OSError), (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(line)


def read_openings(folder: Path) -> dict[str, int]:
    """Returns how often each command has opened the test images; a damaged line is left out."""
    counts = Counter[str]()
    with contextlib.suppress(OSError):
        for line in (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, LookupError, TypeError):
                document = json.loads(line)
                if document["by"] in OPENING_COMMANDS:
                    counts[document["by"]] += int(document["count"])
    return dict(counts)
