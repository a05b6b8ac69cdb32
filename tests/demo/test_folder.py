"""The demo's folder is its own, and one demo's at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.folder import MARKER, taken


def test_a_new_folder_is_made_and_an_empty_one_taken(tmp_path: Path) -> None:
    for path in (tmp_path / "new" / "deep", tmp_path / "new"):
        path.mkdir(exist_ok=True, parents=True)
    with taken(tmp_path / "new" / "deep") as folder:
        assert folder.path.is_dir()


def test_a_folder_with_somebody_elses_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoError, match="no demo made"), taken(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="cannot be used"), taken(tmp_path / "file"):
        pass


def test_a_second_demo_in_the_same_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "demo"
    with taken(path), pytest.raises(DemoError, match=r"A demo runs in .* \(process \d+\)"), taken(path):
        pass
    with taken(path) as again:
        assert again.path == path


def test_wiping_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    with taken(tmp_path / "demo") as folder:
        (folder.path / "state").mkdir()
        (folder.path / "state" / "ledger.db").write_text("")
        (folder.path / "link").symlink_to(outside)
        folder.wipe()
        assert [entry.name for entry in folder.path.iterdir()] == [MARKER]
    assert (outside / "kept").exists()
