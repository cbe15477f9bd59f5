"""Wrong values of options and arguments, and paths that cannot be read or written."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from misuse.misuse_case import CHECKED, PLAIN, SPACE, STUDY, Misuse

LONG = "x" * 300
FILES: dict[str, str | bytes] = {"s.yaml": SPACE, "c.yaml": PLAIN}
OPTIONS: list[tuple[str, ...]] = [
    (),
    ("answer",),
    ("answer", "s.yaml"),
    ("answer", "s.yaml", "--budget", "0s"),
    ("answer", "s.yaml", "--budget", "abc"),
    ("answer", "s.yaml", "--budget", ""),
    ("answer", "s.yaml", "--budget", "-1h"),
    ("answer", "s.yaml", "--budget", "1s", "--no-doctor"),
    ("answer", "s.yaml", "--budget", "1s", "--no-doctor", "--dry-run"),
    ("answer", "s.yaml", "--budget", "1h", "--margin", "-1"),
    ("answer", "s.yaml", "--budget", "1h", "--margin", "nan"),
    ("answer", "s.yaml", "--budget", "1h", "--study", "a/b"),
    ("answer", "s.yaml", "--budget", "1h", "--workers", "0"),
    ("answer", "s.yaml", "--budget", "1h", "--set", "training.epoch=1"),
    ("answer", "nosuch", "--budget", "1h"),
    ("answer", "digits_cn", "--budget", "1h"),
    ("answer", "nosuch.yaml", "--budget", "1h"),
    ("answer", "nosuch.csv", "--budget", "1h"),
    ("answer", ".", "--budget", "1h"),
    ("answer", "", "--budget", "1h"),
    ("init", ".", "--budget", "soon"),
    ("init", ".", "--budget", "0s"),
    ("init", "--from", "digits_cnn", "--budget", "1h"),
    ("compare", "s.yaml", "--address", "auto"),
    ("compare", "s.yaml", "--workers", "auto"),
    ("confirm", "results/s", "--launcher", "ray", "--gpus-per-worker", "3"),
    ("ablate", "results/s", "--launcher", "ray", "--address", "127.0.0.1:1"),
    ("stdy",),
    ("study",),
    ("study", "--space"),
    ("study", "--space", ""),
    ("study", "--space", "nosuch"),
    ("study", "--space", "digits_cn"),
    ("study", "--space", "."),
    ("study", "--space", "./"),
    ("study", "--space", "nosuch.yaml"),
    ("study", "--space", f"{LONG}.yaml"),
    ("study", "--space", "[red]x[/red]"),
    ("study", "--space", ":smile:"),
    ("study", "--space", "a\x1b[31mb"),
    ("study", "--space", "a\nb"),
    ("study", "s.yaml"),
    (*STUDY, "--trials", "0"),
    (*STUDY, "--trials", "-1"),
    (*STUDY, "--trials", "1.5"),
    (*STUDY, "--trials", "many"),
    (*STUDY, "--trials", "1e3"),
    (*STUDY, "--trials", "9" * 30),
    (*STUDY, "--workers", "0"),
    (*STUDY, "--workers", "1000"),
    (*STUDY, "--threads", "0"),
    (*STUDY, "--threads", "x"),
    (*STUDY, "--budget", "x"),
    (*STUDY, "--budget", "-1h"),
    (*STUDY, "--budget", ""),
    (*STUDY, "--budget", "1y"),
    (*STUDY, "--budget", "nan"),
    (*STUDY, "--budget", "inf"),
    (*STUDY, "--budget", "1e400s"),
    (*STUDY, "--trial-timeout", "soon"),
    (*STUDY, "--trial-timeout", "-5s"),
    (*STUDY, "--pruner", "asha"),
    (*STUDY, "--until", "wort"),
    (*STUDY, "--until", ""),
    (*STUDY, "--until", "15"),
    (*STUDY, "--confirm", "1.5"),
    (*STUDY, "--confirm", "-0.1"),
    (*STUDY, "--confirm", "nan"),
    (*STUDY, "--confirm", "inf"),
    (*STUDY, "--confirm", "some"),
    (*STUDY, "--confirm", ""),
    (*STUDY, "--confirm", "30%"),
    (*STUDY, "--study", "x/confirmation"),
    (*STUDY, "--device", "tpu"),
    (*STUDY, "--device", "cuda:99"),
    (*STUDY, "--device", ""),
    (*STUDY, "--device", "cuda:"),
    (*STUDY, "--device", "cpu:1"),
    (*STUDY, "--study", ""),
    (*STUDY, "--study", "a/b"),
    (*STUDY, "--study", ".."),
    (*STUDY, "--study", "."),
    (*STUDY, "--study", LONG),
    (*STUDY, "--study", "a\x1bb"),
    (*STUDY, "--study", "a\nb"),
    (*STUDY, "--study", "a\tb"),
    (*STUDY, "--results", ""),
    (*STUDY, "--results", LONG),
    (*STUDY, "--storage", ""),
    (*STUDY, "--storage", "mysql://u@h/x"),
    (*STUDY, "--storage", "postgres"),
    (*STUDY, "--storage", "postgresql://u:se cret@127.0.0.1:1/x"),
    (*STUDY, "--storage", "postgresql://u:p@ss@127.0.0.1:1/x"),
    (*STUDY, "--storage", "postgresql://127.0.0.1:notaport/x"),
    (*STUDY, "--storage", "http://example.org"),
    (*STUDY, "--nosuch"),
    (*STUDY, "--trails", "5"),
    ("compare",),
    ("compare", "nosuch"),
    ("compare", "s.yaml", "--dry-run", "--repeats", "0"),
    ("compare", "c.yaml", "--dry-run", "--repeats", "x"),
    ("compare", "c.yaml", "--dry-run", "--margin", "-1"),
    ("compare", "c.yaml", "--dry-run", "--margin", "nan"),
    ("compare", "c.yaml", "--dry-run", "--arm", ""),
    ("compare", "c.yaml", "--dry-run", "--arm", "a:"),
    ("compare", "c.yaml", "--dry-run", "--arm", ": model.dropout=0.1"),
    ("compare", "c.yaml", "--dry-run", "--arm", "a: nosuch=1"),
    ("compare", "c.yaml", "--dry-run", "--arm", "a: model.dropout=["),
    ("compare", "c.yaml", "--dry-run", "--arm", "a: model.dropout=0.1", "--arm", "a: model.dropout=0.2"),
    ("compare", "c.yaml", "c.yaml", "--dry-run"),
    ("confirm",),
    ("confirm", "nosuch"),
    ("confirm", "s.yaml"),
    ("confirm", "."),
    ("confirm", ""),
    ("confirm", LONG),
    ("confirm", "nosuch", "--runs", "3"),
    ("confirm", "nosuch", "--runs", "8.5"),
    ("confirm", "nosuch", "--runs", "many"),
    ("confirm", "nosuch", "--runs", "1000000"),
    ("confirm", "nosuch", "--budget", "soon"),
    ("confirm", "nosuch", "--confirm", "0.3"),
    ("ablate",),
    ("ablate", "nosuch"),
    ("ablate", "s.yaml"),
    ("ablate", "."),
    ("ablate", ""),
    ("ablate", LONG),
    ("ablate", "nosuch", "--runs", "0"),
    ("ablate", "nosuch", "--runs", "-4"),
    ("ablate", "nosuch", "--runs", "8.5"),
    ("ablate", "nosuch", "--runs", "many"),
    ("ablate", "nosuch", "--runs", "9" * 30),
    ("ablate", "nosuch", "--margin", "-1"),
    ("ablate", "nosuch", "--margin", "nan"),
    ("ablate", "nosuch", "--margin", "small"),
    ("ablate", "nosuch", "--budget", "soon"),
    ("ablate", "nosuch", "--interaction"),
    ("study", "--space", "s.yaml", "--study", "x/ablation", "--dry-run"),
    ("worker",),
    ("worker", "--study", "x/confirmation", "--storage", "postgresql://u:p@127.0.0.1:1/x"),
    ("worker", "--study", "x/ablation", "--storage", "postgresql://u:p@127.0.0.1:1/x"),
    ("worker", "--study", "x"),
    ("worker", "--study", "x", "--storage", "nosuch"),
    ("worker", "--study", "x", "--storage", "postgresql://u:p@127.0.0.1:1/x"),
    ("report",),
    ("report", "nosuch"),
    ("report", "s.yaml"),
    ("report", "."),
    ("report", ""),
    ("report", LONG),
    ("report", "nosuch", "none", "-o", "x.html"),
    ("report", "nosuch", "nosuch"),
    ("report", "nosuch", "-o", "x.html"),
    ("report", "nosuch", "--every", "0"),
    ("dashboard", "nosuch"),
    ("dashboard", ".", "--port", "0"),
    ("dashboard", ".", "--port", "99999"),
    ("export",),
    ("export", "nosuch"),
    ("export", ".", "--trial", "x"),
    ("train",),
    ("train", "nosuch.yaml"),
    ("train", "s.yaml"),
    ("train", "c.yaml", "--init", "nosuch.safetensors"),
    ("train", "c.yaml", "--init", "{a: 1}"),
    ("train", "c.yaml", "--set", "model.dropout=2"),
    ("train", "c.yaml", "-o", ""),
    ("preview", "nosuch"),
    ("preview", "s.yaml", "-o", "x.jpg"),
    ("preview", "s.yaml", "--images", "0"),
    ("preview", "s.yaml", "--images", "65"),
    ("doctor",),
    ("doctor", "nosuch"),
    ("doctor", "s.yaml", "--preflight", "--full"),
    ("doctor", "s.yaml", "--fix", "--json", "-"),
    ("doctor", "s.yaml", "-o", "x.txt"),
    ("doctor", "s.yaml", "--device", "tpu"),
    ("spaces", "extra"),
]


def a_folder(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def an_empty_file(path: Path) -> None:
    path.write_bytes(b"")


INPUTS: dict[str, Callable[[Path], None]] = {
    "a folder": a_folder,
    "a FIFO": a_fifo,
    "a socket": a_socket,
    "a link to nothing": a_link_to_nothing,
    "a link to itself": a_link_to_itself,
    "a picture": a_picture,
    "an empty file": an_empty_file,
}
READERS: dict[str, tuple[str, ...]] = {
    "study": ("study", "--space", "in.yaml", "--trials", "1", "--dry-run"),
    "compare": ("compare", "in.yaml", "--dry-run"),
    "train": ("train", "in.yaml", "-o", "out"),
    "preview": ("preview", "in.yaml"),
    "doctor": ("doctor", "in.yaml"),
    "weights": (*CHECKED, "--set", "model.weights=in.yaml"),
}
PLACES = {
    "through a file": "s.yaml/x",
    "a long name": LONG,
    "a long name below": f"below/{LONG}/x",
    "a link to itself": "loop/x",
    "an unknown home": "~nosuchuser/x",
}
WRITERS: dict[str, tuple[str, ...]] = {
    "study --results": (*STUDY, "--results"),
    "study --data-dir": (*STUDY, "--set", "data={name: image_folder, root: photos, size: 8}", "--data-dir"),
    "compare --results": ("compare", "c.yaml", "--repeats", "1", "--results"),
    "train -o": ("train", "c.yaml", "-o"),
    "preview -o": ("preview", "s.yaml", "-o"),
    "doctor --json": ("doctor", "s.yaml", "--preflight", "--json"),
}


RAY: dict[tuple[str, ...], str] = {
    ("--address", "auto"): "--address is only for workers on Ray",
    ("--gpus-per-worker", "0.5"): "--gpus-per-worker is only",
    ("--cpus-per-worker", "2", "--data-on-nodes"): "--cpus-per-worker and --data-on-nodes are only",
    ("--launcher", "slurm"): "slurm",
    ("--launcher", "ray", "--workers", "0"): "0",
    ("--launcher", "ray", "--workers", "some"): "some",
    ("--launcher", "ray", "--cpus-per-worker", "0"): "whole number from 1",
    ("--launcher", "ray", "--cpus-per-worker", "1.5"): "--cpus-per-worker",
    ("--launcher", "ray", "--gpus-per-worker", "-1"): "a share of one GPU",
    ("--launcher", "ray", "--gpus-per-worker", "2"): "use more of them with more workers",
    ("--launcher", "ray", "--gpus-per-worker", "nan"): "nan",
    ("--launcher", "ray", "--gpus-per-worker", "x"): "--gpus-per-worker",
    ("--launcher", "ray", "--cpus-per-worker", "0", "--gpus-per-worker", "2"): "2 invalid arguments",
    ("--launcher", "ray", "--address", ""): "HOST:PORT",
    ("--launcher", "ray", "--address", "head"): "HOST:PORT",
    ("--launcher", "ray", "--address", "127.0.0.1:1"): "no Ray cluster answers at 127.0.0.1:1",
    ("--launcher", "ray", "--address", "ray://127.0.0.1:1"): "Ray client",
    ("--launcher", "ray", "--threads", "2"): "--cpus-per-worker",
    ("--launcher", "ray", "--device", "cpu", "--threads", "2"): "2 invalid arguments",
}


def cases() -> Iterator[Misuse]:
    for options, says in RAY.items():
        yield Misuse(f"study {' '.join(options)}", (*STUDY, *options), says=(says,), files=FILES)
    for arguments in OPTIONS:
        name = " ".join(arguments).replace(" ".join(STUDY), "study …")[:70] or "no arguments"
        yield Misuse(f"option {name!r}", arguments, files=FILES)
    for command, arguments in READERS.items():
        for kind, make in INPUTS.items():
            yield Misuse(f"{command} reads {kind}", arguments, lambda f, m=make: m(f / "in.yaml"), files=FILES)  # type: ignore[misc]
    for command, arguments in WRITERS.items():
        for kind, place in PLACES.items():
            ending = ".png" if command.startswith("preview") else ""
            yield Misuse(f"{command} to {kind}", (*arguments, place + ending), a_loop_and_photos, files=FILES)


def a_loop_and_photos(folder: Path) -> None:
    from PIL import Image

    (folder / "loop").symlink_to("loop")
    for name in "ab":
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (8, 8), (number * 30, 0, 0)).save(folder / "photos" / name / f"{number}.png")
