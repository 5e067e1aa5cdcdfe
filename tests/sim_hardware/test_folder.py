"""The folder of a run: an earlier run's things go, everybody else's stay; what no demo has left is not opened again."""

from pathlib import Path

import pytest

from gateway.errors import GanglionError
from sim_hardware.demo.stack import reopened
from sim_hardware.folder import MADE, MARK, claimed


def test_only_what_runs_make_is_deleted(tmp_path: Path) -> None:
    """Also where it is a link, whose end is not touched."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    data = tmp_path / "data"
    with claimed(data) as folder:
        for name in MADE:
            (folder / name).mkdir()
            (folder / name / "file").write_text("")
        (folder / "notes.txt").write_text("mine")
        (folder / "figures").mkdir()
    with claimed(data):
        assert sorted(path.name for path in data.iterdir()) == ["figures", MARK, "notes.txt"]
        (data / MADE[0]).symlink_to(elsewhere)
    with claimed(data):
        assert not (data / MADE[0]).exists()
    assert (elsewhere / "kept").exists()


def test_what_cannot_be_claimed(tmp_path: Path) -> None:
    """A file, somebody's folder, one in use, one that the boards' search path cannot name."""
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    for name, message in (("file", "is a file"), ("mine", "no earlier run made it"), ("a:b", "colon")):
        with pytest.raises(GanglionError, match=message), claimed(tmp_path / name):
            pass
    assert (tmp_path / "mine/thesis.txt").exists()
    with claimed(tmp_path / "data"), pytest.raises(GanglionError, match="still goes on"), claimed(tmp_path / "data"):
        pass


@pytest.mark.parametrize(
    "mark", [None, "", "[]", "{}", '{"influx_port": 0}', '{"influx_port": "x"}', '{"influx_port": 1}']
)
def test_no_database_is_opened_where_none_was_left(tmp_path: Path, mark: str | None) -> None:
    """Whatever the mark says; and none is made."""
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    with pytest.raises(GanglionError, match="holds no database of a demo"), reopened(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ([] if mark is None else [MARK])
