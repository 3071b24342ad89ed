"""Files of cases that people, editors and accidents make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regrove import Misuse
from regrove.node.simulation.cases import Case, files_in, read_case


def test_a_file_of_lists_in_lists_is_no_case(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(Misuse, match=r"deep\.json is no case file: lists in lists without end"):
        read_case(tmp_path / "deep.json")


def test_a_file_that_an_editor_wrote_with_a_mark_in_front_is_read(tmp_path: Path) -> None:
    case = Case("test_a.py::test_\u00fc", 1, ())
    file = case.write(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\\u00fc", "\u00fc".encode()))
    assert read_case(file) == case


def test_a_pipe_among_the_cases_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    ((_, problem),) = files_in(tmp_path)
    assert "pipe.json cannot be read: it is no regular file" in str(problem)


def test_a_file_whose_name_is_no_text_is_a_case_as_any_other(tmp_path: Path) -> None:
    case = Case("test_a.py::test_it", 1, ())
    case.write(tmp_path).rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json"))
    ((path, found),) = files_in(tmp_path)
    assert found == case
    assert path.exists()


def test_a_test_with_a_long_name_in_any_script_is_kept(tmp_path: Path) -> None:
    word = "\u6570\u636e" * 40
    case = Case(f"test_{word}.py::test_{word}", 1, (), parameters=word)
    assert read_case(case.write(tmp_path)) == case
