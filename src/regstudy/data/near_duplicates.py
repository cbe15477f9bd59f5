"""Which images are copies of each other: mirrored, turned, cropped, recompressed, brighter or darker.

Every image becomes a gray thumbnail, described by the low orders of its cosine transform (the idea of a perceptual
hash) within a disc, so that corners which a rotation fills in do not count. The coefficients are kept as numbers, not
as bits: the similarity of two images is the correlation of their coefficients, so comparing all pairs is a product of
matrices, which is faster than comparing bits one pair at a time, and far more exact. The coefficients are divided by
their spread within the data set, so that what all images have in common (a cell in the middle of a bright slide) does
not make them similar. Mirroring and quarter turns only exchange coefficients or their signs, so all eight positions
are compared. Pairs that are alike coarsely are then compared in finer detail, one of them turned, shifted and scaled a
little in turn. Rates measured on real images are in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, normalize

Indices = npt.NDArray[np.int64]
Result = TypeVar("Result")

CLUSTERS_VERSION = 1  # part of the name of cached results; increase if clusters change
THUMBNAIL_SIDE = 32  # pixels
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what JPEG stores most exactly
COARSE_ORDER, FINE_ORDER = 8, 12  # highest order of the cosine transform, horizontal and vertical together
LIKELY_CORRELATION, SAME_CORRELATION = (
    0.80,
    0.95,
)  # correlation from which a pair is looked at finely, and from which it is linked
MAX_LIKELY_PAIRS = 40  # per image, which are compared finely; in crowded data LIKELY_CORRELATION rises to limit them
MIN_SPREAD = 1.0  # gray levels: images that vary less than this are compared for equality only
PRIOR_IMAGES = 50  # weight of the usual spectrum, so that few images do not decide what is common
ANGLES, SCALES, SHIFTS = (-10, -5, 0, 5, 10), (0.95, 1.0, 1 / 0.95), (-0.05, 0.0, 0.05)  # degrees, -, half sides
BLOCK, ROWS, COLUMNS = 256, 64, 2048  # images at a time: for the rest, and when all are compared with all
ROUNDING = 1e-4  # of single precision, generously


def clusters(images: Tensor) -> Indices:
    """A number for each image of N×C×H×W uint8: equal for images that `duplicate_pairs` links, even over others."""
    pairs, _ = duplicate_pairs(images)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(images), len(images)))
    numbers: Indices = connected_components(links, directed=False)[1].astype(np.int64)
    return numbers


def duplicate_pairs(images: Tensor) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Linked pairs M×2 of N×C×H×W uint8, ascending, and their distances M: 0 (same pixels) to 1 - `SAME_CORRELATION`.

    Of several images with the same pixels only the first is compared with others and linked to the rest. Time grows
    with N² (50,000 images: about a minute on two cores), memory with N (about 30 kB per image).
    """
    first = _first_copies(images)
    later = np.flatnonzero(first != np.arange(len(first)))
    kept = np.flatnonzero(first == np.arange(len(first)))
    thumbnails, spread = _thumbnails(images, kept)
    kept, thumbnails = kept[(spread >= MIN_SPREAD).numpy()], thumbnails[spread >= MIN_SPREAD]
    pairs = np.stack([first[later], later], axis=1)
    if len(kept) < 2:
        return pairs, np.zeros(len(pairs))
    left, right, position = _likely_pairs(_described(thumbnails, COARSE_ORDER, 0.5))
    similarity = _aligned(thumbnails, left, right, position)
    same = similarity >= SAME_CORRELATION
    near = np.stack([kept[left[same].numpy()], kept[right[same].numpy()]], axis=1)
    found = np.concatenate([pairs, near])
    distances = np.concatenate([np.zeros(len(pairs)), 1 - similarity[same].clamp(max=1).numpy()])
    order = np.lexsort((found[:, 1], found[:, 0]))
    return found[order], distances[order]


def digests(images: Tensor) -> list[bytes]:
    """A digest of each image's pixels, of N×C×H×W: equal for images that are the same to the pixel."""
    pixels = images.cpu().contiguous().numpy()
    return [blake2b(pixels[index].data, digest_size=16).digest() for index in range(len(pixels))]


def _first_copies(images: Tensor) -> Indices:
    """For each image the position of the first one with the same pixels."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(digest, index) for index, digest in enumerate(digests(images))], dtype=np.int64)


def _thumbnails(images: Tensor, chosen: Indices) -> tuple[Tensor, Tensor]:
    """Gray, N×1024 float64, of mean 0 and about unit spread within the disc; and the spreads N in gray levels."""
    channels = images.shape[1]
    weights = torch.tensor(LUMA if channels == 3 else (1 / channels,) * channels).view(-1, 1, 1)
    gray = torch.empty(len(chosen), THUMBNAIL_SIDE * THUMBNAIL_SIDE)
    for at in range(0, len(chosen), BLOCK):
        block = images[torch.from_numpy(chosen[at : at + BLOCK])].cpu().float()
        block = (block * weights).sum(1, keepdim=True)
        if block.shape[-2:] != (THUMBNAIL_SIDE, THUMBNAIL_SIDE):
            block = interpolate(
                block, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), mode="bilinear", antialias=True, align_corners=False
            )
        gray[at : at + BLOCK] = block.flatten(1)
    disc = _disc()
    pixels = gray.double()
    pixels -= (pixels @ disc)[:, None]
    spread = (pixels**2 @ disc).sqrt()
    return pixels / (spread + MIN_SPREAD)[:, None], spread


def _disc() -> Tensor:
    """Weights 1024 that sum to 1: one in the middle, falling to zero at the border."""
    place = (torch.arange(THUMBNAIL_SIDE, dtype=torch.float64) + 0.5) / THUMBNAIL_SIDE * 2 - 1
    weights = ((1 - (place[:, None] ** 2 + place**2).sqrt()) / 0.25).clamp(0, 1).flatten()
    return weights / weights.sum()


def _orders(highest: int) -> tuple[Indices, Indices]:
    """Vertical and horizontal orders of the coefficients that are used."""
    down, across = np.divmod(np.arange((highest + 1) ** 2), highest + 1)
    used = (down + across > 0) & (down + across <= highest)
    return down[used], across[used]


def _transform(highest: int) -> Tensor:
    """1024×D: from the pixels of a thumbnail to its coefficients within the disc, blind to brightness."""
    down, across = _orders(highest)
    waves = torch.from_numpy(dct(np.eye(THUMBNAIL_SIDE), axis=0, norm="ortho"))
    disc = _disc()
    weighted = (waves[down][:, :, None] * waves[across][:, None, :]).flatten(1) * disc
    return (weighted - weighted.sum(1, keepdim=True) * disc).T * THUMBNAIL_SIDE


def _positions(highest: int) -> list[tuple[Tensor, Tensor]]:
    """The eight ways to lay an image down: an exchange of coefficients, then their signs."""
    down, across = _orders(highest)
    place = {orders: index for index, orders in enumerate(zip(down.tolist(), across.tolist(), strict=True))}
    turned = torch.tensor([place[b, a] for a, b in zip(down.tolist(), across.tolist(), strict=True)])
    same = torch.arange(len(down))
    signs = [torch.from_numpy((-1.0) ** (down * a + across * b)) for a in (0, 1) for b in (0, 1)]
    return [(exchange, sign) for exchange in (same, turned) for sign in signs]


def _scaling(coefficients: Tensor, highest: int, power: float) -> tuple[Tensor, Tensor]:
    """What to subtract from N×D coefficients and to multiply them with: mean and spread over all eight positions."""
    positions, count = _positions(highest), len(coefficients)
    mean = torch.stack([coefficients.mean(0)[exchange] * sign for exchange, sign in positions]).mean(0)
    square = (coefficients**2).mean(0)
    square = (square + square[positions[4][0]]) / 2 - mean**2
    down, across = _orders(highest)
    usual = 1 / torch.from_numpy(down**2.0 + across**2.0)  # natural images: power falls with the square
    usual *= square.sum() / usual.sum()
    variance = (count * square + PRIOR_IMAGES * usual) / (count + PRIOR_IMAGES)
    return mean * count / (count + PRIOR_IMAGES), variance ** (-power / 2)


def _described(thumbnails: Tensor, highest: int, power: float) -> Tensor:
    """N×D of unit length, so that products are correlations."""
    coefficients = thumbnails @ _transform(highest)
    mean, scale = _scaling(coefficients, highest, power)
    return normalize((coefficients - mean) * scale)


def _likely_pairs(described: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that are alike coarsely: the left and right images, and in which position the left one is most so."""
    positions, single = _positions(COARSE_ORDER), described.float()
    laid = torch.stack([single[:, exchange] * sign.float() for exchange, sign in positions])
    limit, columns = _limit(laid, single), single.T.contiguous()

    def likely_with(top: int) -> Tensor:
        rows, found = laid[:, top : top + ROWS].flatten(0, 1), []
        for start in range(top, len(single), COLUMNS):  # a block of similarities stays in the processor's cache
            block = rows @ columns[:, start : start + COLUMNS]
            similarity = block.view(len(positions), -1, block.shape[1]).amax(0)
            found.append((similarity >= limit - ROUNDING).nonzero() + torch.tensor([top, start]))
        return torch.cat(found)

    pairs = torch.cat(_in_threads(likely_with, range(0, len(single), ROWS)))
    left, right = pairs[pairs[:, 0] < pairs[:, 1]].T
    # once more in double precision, so that neither threads nor block sizes decide
    similarity = torch.full((len(left),), -1.0, dtype=torch.float64)
    position = torch.zeros(len(left), dtype=torch.int64)
    for number, (exchange, sign) in enumerate(positions):
        turned = described[:, exchange] * sign
        for start in range(0, len(left), BLOCK * BLOCK):
            some = slice(start, start + BLOCK * BLOCK)
            exact = torch.linalg.vecdot(turned[left[some]], described[right[some]])
            position[some][exact > similarity[some]] = number
            similarity[some] = torch.maximum(exact, similarity[some])
    likely = similarity >= limit
    return left[likely], right[likely], position[likely]


def _limit(laid: Tensor, described: Tensor) -> float:
    """`LIKELY_CORRELATION`, or more if that would give over `MAX_LIKELY_PAIRS` pairs per image, judged by a sample."""
    rows = torch.linspace(0, len(described) - 1, min(len(described), 256)).long()
    best = torch.full((len(rows), len(described)), -1.0)
    for position in laid:
        torch.maximum(best, position[rows] @ described.T, out=best)
    wanted = min(2 * MAX_LIKELY_PAIRS, len(described) - 1) * len(rows)  # each pair is seen from both sides
    threshold = best.flatten().kthvalue(best.numel() - wanted).values.item()
    return max(LIKELY_CORRELATION, round(threshold, 2))


def _aligned(thumbnails: Tensor, left: Tensor, right: Tensor, position: Tensor) -> Tensor:
    """The fine correlation of each pair at the best of some small turns, shifts and scales of the left image."""
    plain = thumbnails @ _transform(FINE_ORDER)
    scaling = _scaling(plain, FINE_ORDER, 1.0)
    similarity = _best_fits(thumbnails, plain, scaling, left, right, position, torch.float32)
    open_ones = ((similarity - SAME_CORRELATION).abs() < ROUNDING).nonzero()[:, 0]  # as above
    some = (left[open_ones], right[open_ones], position[open_ones])
    similarity[open_ones] = _best_fits(thumbnails, plain, scaling, *some, torch.float64)
    return similarity


def _best_fits(
    thumbnails: Tensor,
    plain: Tensor,
    scaling: tuple[Tensor, Tensor],
    left: Tensor,
    right: Tensor,
    position: Tensor,
    precision: torch.dtype,
) -> Tensor:
    mean, scale = (values.to(precision) for values in scaling)
    target, warped = normalize((plain.to(precision) - mean) * scale), _warped_transforms().to(precision)
    exchanges, signs = (torch.stack(parts) for parts in zip(*_positions(FINE_ORDER), strict=True))
    similarity = torch.empty(len(left), dtype=torch.float64)
    order = left.argsort(stable=True)
    edges = torch.searchsorted(left[order], torch.arange(0, len(thumbnails) + BLOCK, BLOCK)).tolist()

    def fit(number: int) -> None:
        images = thumbnails[number * BLOCK : (number + 1) * BLOCK].to(precision)
        if edges[number] == edges[number + 1]:
            return
        moved = normalize(((images @ warped).view(len(images), -1, len(mean)) - mean) * scale, dim=2)
        for at in range(edges[number], edges[number + 1], BLOCK):
            pairs = order[at : min(at + BLOCK, edges[number + 1])]
            laid = position[pairs]  # to lay the left image down is to lift the right one up: signs, then exchange
            lifted = (target[right[pairs]] * signs[laid].to(precision)).gather(1, exchanges[laid])
            fits = torch.bmm(moved[left[pairs] - number * BLOCK], lifted[:, :, None])
            similarity[pairs] = fits.amax((1, 2)).double()

    _in_threads(fit, range(len(edges) - 1))
    return similarity


def _in_threads(function: Callable[[int], Result], items: Iterable[int]) -> list[Result]:
    """The results in order, from as many threads as torch may use, each with one: they need not wait for each other.

    Where other programs use the cores too, this is several times as fast as torch's own threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


@cache
def _warped_transforms() -> Tensor:
    """1024×(W·D): `_transform` after each of W small changes of place."""
    shifts = [(x, y) for x in SHIFTS for y in SHIFTS]
    places = [(angle, 1.0, 0.0, 0.0) for angle in ANGLES if angle]
    places += [(0, scale, x, y) for scale in SCALES for x, y in shifts]
    pixels = torch.eye(THUMBNAIL_SIDE * THUMBNAIL_SIDE).view(
        1, THUMBNAIL_SIDE * THUMBNAIL_SIDE, THUMBNAIL_SIDE, THUMBNAIL_SIDE
    )
    transform, found = _transform(FINE_ORDER), []
    for angle, scale, x, y in places:
        cosine, sine = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
        grid = affine_grid(
            torch.tensor([[[cosine, -sine, x], [sine, cosine, y]]]).float(),
            [1, 1, THUMBNAIL_SIDE, THUMBNAIL_SIDE],
            False,
        )
        change = grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        found.append(change.view(THUMBNAIL_SIDE * THUMBNAIL_SIDE, -1).double() @ transform)
    return torch.cat(found, dim=1)
