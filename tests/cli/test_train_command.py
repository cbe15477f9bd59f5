"""What `regstudy train` says after Ctrl-C: what is in the folder, and what the same command would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from regstudy.cli.console import out
from regstudy.cli.train_command import execute


@pytest.mark.parametrize(
    ("files", "formats", "says"),
    [
        ((), (), "Interrupted before the first checkpoint. The same command starts from the beginning."),
        (("checkpoint.pt", "metrics.json"), (), "holds a checkpoint; run the same command again to resume."),
        (("metrics.json",), (), "holds a training that has ended; the same command would train again."),
        (("metrics.json",), ("onnx",), "would train again. `regstudy convert` writes its model.onnx or model.pt2."),
    ],
)
def test_an_interruption_says_what_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: tuple[str, ...],
    formats: tuple[str, ...],
    says: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        for name in files:
            (tmp_path / name).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("regstudy.cli.train_command.train", interrupted)
    assert execute(out, tmp_path / "c.yaml", tmp_path, {"formats": formats}) == 130
    assert says in " ".join(capsys.readouterr().out.split())
