"""Groups in names: proposed where the evidence is good, and never where names only number pictures or name kinds."""

from __future__ import annotations

import pytest

from regstudy.first_space.group_patterns import propose_groups

PATIENTS, PICTURES = 12, 4


def names(form: str, patients: int = PATIENTS, pictures: int = PICTURES) -> list[str]:
    """File names of two classes; patients with even numbers are in the first one."""
    return [
        "ab"[patient % 2] + "/" + form.format(p=patient, n=number, all=patient * pictures + number)
        for patient in range(patients)
        for number in range(pictures)
    ]


def labels(paths: list[str]) -> list[int]:
    return ["ab".index(path[0]) for path in paths]


@pytest.mark.parametrize(
    ("form", "rule", "groups"),
    [
        ("patient{p}_{n:03}.png", r"(patient\d+)", 12),
        ("scan_Patient-{p:03}_{n}.png", r"(Patient-\d+)", 12),
        ("person{p}_bacteria_{n}.jpeg", r"(person\d+)", 12),
        ("slide_{p}_{n:03}.png", r"(slide_\d+)", 12),
        ("BloodImage_{p:05}_{n:02}.png", r"(?:^|/)([^/]*\d[^/]*)[_-]\d{1,4}\.[^./]+$", 12),
        ("SOB_B_A-14-{p}AB-100-{n:03}.png", r"(?:^|/)([^/]*\d[^/]*)[_-]\d{1,4}\.[^./]+$", 12),
        ("P{p}/{n}.png", r"^(?:[^/]+/){1}([^/]+)/", 12),
        ("{p:04}_jpg.rf.{n:08x}ab.jpg", r"([^/]+)\.rf\.[0-9A-Za-z]+\.", 12),
    ],
)
def test_groups_that_names_show(form: str, rule: str, groups: int) -> None:
    paths = names(form)
    found = propose_groups(paths, labels(paths))
    assert found is not None
    assert (found.rule, found.groups) == (rule, groups)


@pytest.mark.parametrize(
    "form",
    [
        "{all:04}.png",  # only numbers
        "IMG_{all:04}.png",  # one prefix
        "cat_{all}.png",
        "cat ({all}).png",
        "photo-2023{p:02}-{all:06}.png",  # six digits are a time or a number of its own, no place in a series
        "patient{all}.png",  # a patient each
        "patient1_{all}.png",  # one patient
        "a{p}b.{all}.png",  # no separator
    ],
)
def test_names_that_show_no_groups(form: str) -> None:
    paths = names(form)
    assert propose_groups(paths, labels(paths)) is None


def test_breeds_are_no_groups() -> None:
    breeds = ["persian", "siamese", "bengal", "sphynx", "ragdoll", "birman", "burmese", "maine"]
    paths = [f"{'ab'[place % 2]}/{breed}_{number}.png" for place, breed in enumerate(breeds) for number in range(5)]
    assert propose_groups(paths, labels(paths)) is None


def test_every_class_needs_several_groups_and_every_file_must_match() -> None:
    few = names("patient{p}_{n}.png", patients=6, pictures=8)
    assert propose_groups(few, labels(few)) is None
    odd = [*names("patient{p}_{n}.png"), "a/readme.png"]
    assert propose_groups(odd, labels(odd)) is None
