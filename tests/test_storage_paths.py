"""Files at paths and at URLs: written whole, found, replaced, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import UserError
from search.files import as_path, check_location, draft_of
from search.study.checkpoint_store import CheckpointStore

pytest.importorskip("upath", reason="the extra ray is not installed")


@pytest.mark.parametrize("root", ["{tmp_path}", "file://{tmp_path}", "memory://states"])
def test_states_are_found_replaced_and_deleted_wherever_they_are(root: str, tmp_path: Path) -> None:
    folder = as_path(root.format(tmp_path=tmp_path))
    kept = CheckpointStore(folder / "study", max_kept=1)
    assert kept.resume_path(7) is None
    path = as_path(kept.latest_path(7) or "")
    for content in (b"first", b"second"):
        with draft_of(path) as draft:
            draft.write_bytes(content)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert as_path(kept.resume_path(7) or "").read_bytes() == b"second"
    kept.delete_orphans((), requeued_seeds=(7,))
    assert kept.resume_path(7) == kept.latest_path(7)
    kept.delete(7)
    assert kept.resume_path(7) is None


def test_without_a_folder_nothing_is_kept() -> None:
    nowhere = CheckpointStore(None, max_kept=20)
    assert nowhere.latest_path(1) is None
    assert nowhere.resume_path(1) is None
    assert not nowhere.keeps_any
    nowhere.delete_orphans((), ())


@pytest.mark.parametrize(
    ("url", "message"),
    [("s3://user:secret@bucket/states", "must not hold a password"), ("none://bucket", "Protocol not known: none")],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        check_location(url, "--checkpoint-dir")
    assert "secret" not in str(refused.value)
