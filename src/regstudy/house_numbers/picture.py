"""A synthetic house-number crop in the format of SVHN, for when the real images cannot be downloaded.

Every picture is a pure function of (seed, index), drawn in these steps: digits (`choose_hand`, `letter_row`), position
and perspective (`hang`), colors of wall and digits (`paint`), lighting (`light`), camera (`photograph`).

The pictures look like SVHN (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers) but are not SVHN: a result on
them says nothing about accuracy on SVHN, and all output must name them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from regstudy.house_numbers.lettering import CANVAS_SIZE, DIGIT_HEIGHT, Rng, choose_hand, letter_row

SIZE = 32  # side of a finished picture in pixels
SCENE_SIZE = 64  # side while painting in pixels

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Layer = NDArray[np.floating[Any]]

# Digits 0..9 in the SVHN training split; the label of digit 0 is 0.
SVHN_DIGIT_COUNTS = np.array([4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659])


def draw(seed: int, index: int) -> tuple[Pixels, int]:
    """Picture `index` of the series `seed` (both >= 0): uint8 32x32x3 RGB, and its label 0..9."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    label = int(np.searchsorted(np.cumsum(SVHN_DIGIT_COUNTS) / SVHN_DIGIT_COUNTS.sum(), rng.random(), side="right"))
    share = float(rng.uniform(0.55, 0.97))  # of the picture's height that the digit fills
    hand = choose_hand(rng)
    row, pitch = letter_row(rng, label, hand)
    digits, plate, lines = hang(rng, row, share, pitch)
    scene, contrast = paint(rng, digits, plate, lines)
    least = max(8.0, 1.1 / hand.weight)  # a stroke stays a pixel wide
    tall = float(np.exp(np.log(least) + (np.log(32) - np.log(least)) * rng.beta(1.0, 1.5)))
    return photograph(rng, light(rng, scene, contrast), tall / share, contrast), label


def hang(rng: Rng, row: Image.Image, share: float, pitch: float) -> tuple[Layer, Layer, Layer]:
    """The layers as the camera sees them, 64x64 in 0..1: turned up to 14 degrees, slanted, stretched, off center."""
    half = DIGIT_HEIGHT / share / 2
    turn = np.deg2rad(np.clip(rng.normal(0, 5.5), -14, 14))
    slant = np.clip(rng.normal(0.03, 0.15), -0.3, 0.4)
    stretch = float(np.exp(rng.normal(0.0, 0.2)))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    to_row = np.array([[1 / stretch, slant], [0, 1]]) @ turned * half
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) + rng.normal(0, 0.045, (4, 2))
    shift = rng.normal(0, (0.08, 0.03)) * 2 * half
    most = min(0.25 * half, 0.3 * pitch)  # the labeled digit stays nearest to the center
    quad = corners @ to_row.T + np.array(CANVAS_SIZE) / 2 + np.clip(shift, -most, most)
    seen = row.transform(
        (SCENE_SIZE, SCENE_SIZE), Image.Transform.QUAD, quad.ravel().tolist(), Image.Resampling.BICUBIC
    )
    layers = np.asarray(seen, np.float32) / 255
    return layers[..., 0], layers[..., 1], layers[..., 2]


def color(rng: Rng, luma: float) -> Layer:
    """An RGB color of the given luma: mostly nearly gray, sometimes of a painted plate or brick."""
    strong = rng.random() < 0.12
    blue = rng.normal(3, 7) if not strong else rng.choice([-1, 1]) * rng.uniform(12, 45)
    blue = np.clip(blue, -0.45 * min(luma, 255 - luma), 0.45 * min(luma, 255 - luma))
    red = -0.5 * blue + (rng.normal(0, 5) if not strong else rng.normal(0, 14))
    return np.array([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue], np.float32)


def noise_field(rng: Rng, down: int, across: int) -> Layer:
    """Smooth noise of unit variance at its nodes, 64x64x1; fewer nodes down than across make upright grain."""
    nodes = Image.fromarray(rng.standard_normal((down, across), dtype=np.float32))
    return np.asarray(nodes.resize((SCENE_SIZE, SCENE_SIZE), Image.Resampling.BICUBIC), np.float32)[..., None]


def shifted(picture: Layer, dx: int, dy: int) -> Layer:
    """The picture moved right by dx and down by dy; what enters repeats the border."""
    reach = max(abs(dx), abs(dy), 1)
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return wide[reach - dy : reach - dy + SCENE_SIZE, reach - dx : reach - dx + SCENE_SIZE]


def paint(rng: Rng, digits: Layer, plate: Layer, lines: Layer) -> tuple[Layer, float]:
    """Wall, plate, joints, shadow and digits: scene 64x64x3 in 0..255, and the luma contrast of the digits."""
    contrast = 36 + 150 * float(rng.beta(0.9, 3.2))
    darker = rng.random() < 0.55
    ground = float(rng.uniform(contrast + 15, 225) if darker else rng.uniform(20, 235 - contrast))
    behind, ink = color(rng, ground), color(rng, ground + (-contrast if darker else contrast))
    wall = color(rng, float(np.clip(ground + rng.normal(0, 0.8) * contrast, 15, 240))) if plate.any() else behind
    scene: Layer = wall + (behind - wall) * plate[..., None]
    scene = scene + (rng.choice([-1, 1]) * rng.uniform(0.15, 0.6) * contrast) * lines[..., None]
    grain = ((5, 5), (24, 24), (40, 3), (3, 40))[int(rng.integers(4))]
    scene = scene + noise_field(rng, *grain) * float(rng.uniform(0, 0.2)) * contrast
    scene = beside(rng, scene)
    mask = digits[..., None]
    if rng.random() < 0.5:  # raised digits throw a shadow
        dx, dy = (int(v) for v in rng.integers(-3, 4, 2))
        scene = scene * (1 - float(rng.uniform(0.2, 0.6)) * shifted(mask, dx, dy) * (0.4 if darker else 1.0))
    if rng.random() < 0.15:  # digits with a contour
        wide = np.asarray(Image.fromarray((digits * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5)), np.float32)
        contour = color(rng, float(np.clip(2 * ground - ink.mean() if rng.random() < 0.5 else ink.mean(), 0, 255)))
        scene = scene + (contour - scene) * (wide[..., None] / 255)
        ink = behind if rng.random() < 0.2 and abs(contour.mean() - behind.mean()) > 25 else ink
    slope = np.linspace(-1, 1, SCENE_SIZE, dtype=np.float32)[:, None, None] * float(rng.normal(0, 0.22)) * contrast
    worn = np.clip(noise_field(rng, 12, 12) - 0.9, 0, 1) * float(rng.uniform(0, 0.8)) if rng.random() < 0.2 else 0.0
    return scene + (ink + slope - scene) * mask * (1 - worn), contrast


def beside(rng: Rng, scene: Layer) -> Layer:
    """Sometimes a door frame or another wall at the left or right border."""
    if rng.random() < 0.25:
        cut = int(rng.integers(2, 13))
        where = slice(0, cut) if rng.random() < 0.5 else slice(SCENE_SIZE - cut, SCENE_SIZE)
        scene[:, where] = color(rng, float(rng.uniform(20, 230)))
    return scene


def light(rng: Rng, scene: Layer, contrast: float) -> Layer:
    """Uneven light and sometimes a cast shadow, neither stronger than the digits; 64x64x3, nowhere overexposed."""
    most = min(0.6, contrast / float(scene.mean()))
    axis = np.linspace(-1, 1, SCENE_SIZE, dtype=np.float32)
    turn = float(rng.uniform(0, 2 * np.pi))
    ramp = (np.cos(turn) * axis[None, :] + np.sin(turn) * axis[:, None])[..., None]
    lit = scene * (1 + ramp * float(rng.normal(0, 0.25)) * most)
    if rng.random() < 0.15:
        edge = np.clip((ramp - float(rng.uniform(-0.8, 0.8))) * float(rng.uniform(2, 12)), 0, 1)
        lit = lit * (1 - float(rng.uniform(0.2, 0.8)) * most * edge)
    return np.asarray(lit * min(1.0, 262 / float(lit.max())), np.float32)


def photograph(rng: Rng, scene: Layer, across: float, contrast: float) -> Pixels:
    """The finished picture, uint8 32x32x3: blur, a sensor `across` pixels wide, noise, sharpening, JPEG, resized."""
    if rng.random() < 0.3:  # camera moved, or colors do not meet
        dx, dy = (int(v) for v in rng.integers(-3, 4, 2))
        scene = (scene + shifted(scene, dx, dy) + 2 * shifted(scene, dx // 2, dy // 2)) / 4
    if rng.random() < 0.3:
        scene = np.concatenate([shifted(scene[..., :1], 1, 0), scene[..., 1:2], shifted(scene[..., 2:], -1, 0)], axis=2)
    side = int(np.clip(round(across), 11, 40))
    sensor = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    sensor = sensor.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, min(2.4, side / 10)))))
    small: Layer = np.asarray(sensor.resize((side, side), Image.Resampling.BOX), np.float32)
    gray, tinted = rng.standard_normal((side, side, 1)), rng.standard_normal((side, side, 3))
    small = small + (gray + 0.6 * tinted) * float(rng.uniform(0.01, 0.06)) * contrast
    picture = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    if side > 20 and rng.random() < 0.35:
        picture = picture.filter(ImageFilter.UnsharpMask(1.2, int(rng.uniform(50, 150)), 0))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(45 if side > 20 else 65, 96)))
    with Image.open(file) as read:
        return np.array(read.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def draw_chunk(chunk: tuple[int, int, int]) -> tuple[Pixels, Labels]:
    """Pictures start..start+count of a series, in this process: uint8 N x 3 x 32 x 32 and int64 N."""
    seed, start, count = chunk
    images, labels = np.empty((count, 3, SIZE, SIZE), np.uint8), np.empty(count, np.int64)
    for i in range(count):
        picture, labels[i] = draw(seed, start + i)
        images[i] = picture.transpose(2, 0, 1)
    return images, labels
