"""Files that are whole or not there, and what is left of one whose writer was killed."""

import os
from pathlib import Path

import pytest

from expunge import files
from expunge.cli.shared import require_writable
from expunge.files import PARTIAL, delete_unfinished, write_file


def killed_while_it_writes(path: Path) -> None:
    child = os.fork()
    if not child:
        pytest.MonkeyPatch().setattr(os, "fsync", lambda _handle: os._exit(9))
        write_file(path, b"{}")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_what_a_killed_command_left_among_the_receipts_goes_with_the_next(tmp_path):
    killed_while_it_writes(tmp_path / "r-1.json")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(PARTIAL)
    others = [tmp_path / name for name in ("r-0.json", f"{PARTIAL}notes.txt", f"{PARTIAL}ABCDEFGH", f"{PARTIAL}folder_x")]
    for path in others[:-1]:
        path.write_text("mine")
    others[-1].mkdir()
    link = tmp_path / f"{PARTIAL}a_link_0"
    link.symlink_to(others[0])
    require_writable(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*others, link])


def test_what_somebody_is_writing_stays(tmp_path):
    handle, temporary = files._begun(tmp_path)
    delete_unfinished(tmp_path)
    assert os.path.exists(temporary)
    os.close(handle)
    delete_unfinished(tmp_path)
    assert not os.path.exists(temporary)


@pytest.mark.parametrize(("renamed", "is_new"), [("replace", False), ("link", True)])
def test_what_is_about_to_get_its_name_is_not_taken_for_an_old_one(tmp_path, monkeypatch, renamed, is_new):
    rename = getattr(os, renamed)

    def late(source, target):
        delete_unfinished(tmp_path)
        rename(source, target)

    monkeypatch.setattr(os, renamed, late)
    write_file(tmp_path / "r-1.json", b"{}", is_new=is_new)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r-1.json": b"{}"}
