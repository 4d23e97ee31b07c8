"""Files at paths and at URLs: written whole, found, replaced, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import UserError
from search.study.checkpoints import Checkpoints
from search.training import places

pytest.importorskip("upath", reason="the extra ray is not installed")


@pytest.mark.parametrize("root", ["{tmp_path}", "file://{tmp_path}", "memory://states"])
def test_states_are_found_replaced_and_deleted_wherever_they_are(root: str, tmp_path: Path) -> None:
    folder = places.at(root.format(tmp_path=tmp_path))
    kept = Checkpoints(folder / "study", most=1)
    assert kept.to_resume(7) is None
    path = places.at(kept.latest(7) or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    for content in (b"first", b"second"):
        draft = path.with_suffix(".tmp")
        draft.write_bytes(content)
        places.move(draft, path)
    assert places.at(kept.to_resume(7) or "").read_bytes() == b"second"
    kept.sweep((), resumed=(7,))
    assert kept.to_resume(7) == kept.latest(7)
    kept.drop(7)
    assert kept.to_resume(7) is None


def test_without_a_folder_nothing_is_kept() -> None:
    nowhere = Checkpoints(None, most=20)
    assert nowhere.latest(1) is None
    assert nowhere.to_resume(1) is None
    assert not nowhere.keeps_any
    nowhere.sweep((), ())


@pytest.mark.parametrize(
    ("url", "message"),
    [("s3://user:secret@bucket/states", "must not hold a password"), ("none://bucket", "Protocol not known: none")],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        places.check(url, "--checkpoint-dir")
    assert "secret" not in str(refused.value)
