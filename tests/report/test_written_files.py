"""Tables that a report wrote are known by their columns, those of k-fold studies and of earlier versions, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from regstudy.errors import FileError
from regstudy.report.written_files import check_report_files


@pytest.mark.parametrize(
    ("name", "header", "ours"),
    [
        ("epochs.csv", "number,slot,arm,epoch,train_loss", True),
        ("epochs.csv", "number,slot,arm,fold,epoch,train_loss", True),
        ("epochs.csv", "number,ticket,arm,epoch,train_loss", True),
        ("epochs.csv", "epoch,loss", False),
        ("trials.csv", "number,slot,arm,state,outcome", True),
        ("trials.csv", "number,state", False),
    ],
)
def test_own_tables_may_be_replaced(name: str, header: str, ours: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"{header}\n0,0,search\n", encoding="utf-8")
    if ours:
        check_report_files(tmp_path, "search")
    else:
        with pytest.raises(FileError, match=name):
            check_report_files(tmp_path, "search")
