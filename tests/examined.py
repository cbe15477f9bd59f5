"""A hand-made examination with something of every kind."""

from __future__ import annotations

import numpy as np

from regstudy.doctor.findings import Chart, Checked, Diagnosis, Finding, Pictures, Unjudged

COPIES = Finding(
    "copies",
    "data",
    "blocks",
    "12% of the validation images are copies of training images.",
    ("48 of 400 validation images have a copy.", "validation b/7.png = training b/3.png"),
    "Keep copies on one side: `data.group: near_duplicates`.",
    "very likely",
    {"data.group": "near_duplicates"},
)
CURVE = Finding(
    "lr-too-large",
    "training",
    "distorts",
    "The learning rate 2 is far too large.",
    ("The loss rises from 2.3 to infinity.",),
    "Decrease it to about 0.002 (`optimizer.lr`).",
    "certain",
    {"optimizer.lr": 0.002, "schedule": {"name": "cosine"}},
)
NOTE = Finding("few-images", "split", "note", "Fifty validation images cannot tell two points apart.")


def pixels(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def diagnosis(*findings: Finding, subject: str = "digits_cnn") -> Diagnosis:
    """With these findings, in the doctor's order."""
    pairs = tuple(pixels(8, seed) for seed in range(4))
    return Diagnosis(
        subject,
        findings,
        (
            Checked("copies", "data", "400 validation images compared with 1,000 training images.", 1),
            Checked("class counts", "split", "10 classes."),
            Checked("learning rates", "training", "Six learning rates from 0.0001 to 10."),
        ),
        (Unjudged("overfitting a batch", "training", "fix lr-too-large first"),),
        (
            Pictures(
                "copies", "Copies", pairs, ("training 3", "validation 7", "training 4", "validation 9"), columns=2
            ),
            Pictures("samples", "Samples", (pixels(224),), ("a",)),
            Chart(
                "class-counts",
                "Images per class",
                "class",
                "images",
                {"training": (("0", "1"), (500.0, 500.0)), "validation": (("0", "1"), (200.0, 200.0))},
                kind="bars",
            ),
            Chart(
                "lr-too-large",
                "Loss by learning rate",
                "learning rate",
                "loss",
                {"loss": ((0.001, 0.01, 0.1), (2.1, 1.2, float("inf")))},
                log_x=True,
                log_y=True,
            ),
        ),
        3.14,
    )
