"""Checkpoints at paths and URLs: found, replaced, deleted; and URLs that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import UserError
from search.files import as_path, check_location, draft_of
from search.study.checkpoint_store import CheckpointStore

pytest.importorskip("upath", reason="the extra ray is not installed")


@pytest.mark.parametrize("root", ["{tmp_path}", "file://{tmp_path}", "memory://states"])
def test_checkpoints_are_found_replaced_and_deleted_at_paths_and_urls(root: str, tmp_path: Path) -> None:
    folder = as_path(root.format(tmp_path=tmp_path))
    store = CheckpointStore(folder / "study", max_kept=1)
    assert store.resume_path("key") is None
    path = as_path(store.latest_path("key") or "")
    for content in (b"first", b"second"):
        with draft_of(path) as draft:
            draft.write_bytes(content)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert as_path(store.resume_path("key") or "").read_bytes() == b"second"
    store.delete_orphans((), requeued=("key",))
    assert store.resume_path("key") == store.latest_path("key")
    store.delete("key")
    assert store.resume_path("key") is None


def test_without_a_folder_no_checkpoint_is_kept() -> None:
    store = CheckpointStore(None, max_kept=20)
    assert store.latest_path("key") is None
    assert store.resume_path("key") is None
    assert not store.keeps_any
    store.delete_orphans((), ())


@pytest.mark.parametrize(
    ("url", "message"),
    [("s3://user:secret@bucket/states", "must not hold a password"), ("none://bucket", "Protocol not known: none")],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        check_location(url, "--checkpoint-dir")
    assert "secret" not in str(refused.value)
