"""Mix-up and cut-mix: what a mixed image consists of, how often, and what its loss teaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, one_hot

from regstudy.config.schema import Regularization
from regstudy.training.mixing import Mixed, mix, mixed_loss

SIDE = 12
BLEND, PASTE = Regularization(mixup=1.0, mixup_alpha=1.0), Regularization(cutmix=1.0)


def noise(count: int = 6, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=Generator().manual_seed(1))


def mixed_many(images: Tensor, regularization: Regularization, times: int) -> list[Mixed]:
    generator = Generator().manual_seed(0)
    return [mix(images, regularization, generator) for _ in range(times)]


def test_mix_up_is_the_weighted_sum_of_an_image_and_its_partner() -> None:
    images = noise()
    for found in mixed_many(images, BLEND, 10):
        assert found.partner is not None
        assert sorted(found.partner.tolist()) == list(range(len(images)))
        expected = found.share * images + (1 - found.share) * images[found.partner]
        assert torch.allclose(found.images, expected, atol=1e-6)
        assert not torch.allclose(found.images, images, atol=1e-3)


def test_cut_mix_pastes_one_rectangle_of_the_partner_whose_area_is_the_rest_of_the_share() -> None:
    images = noise()
    areas = []
    for found in mixed_many(images, PASTE, 40):
        assert found.partner is not None
        moved = found.partner != torch.arange(len(images))
        foreign = (found.images != images).all(1)[moved]
        assert torch.equal(foreign, foreign[:1].expand_as(foreign)), "not the same rectangle in all images"
        mask = foreign[0]
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows.unsqueeze(1) & columns), "not a rectangle"
        assert all((lines.int().diff() == 1).sum() <= 1 for lines in (rows, columns)), "not in one piece"
        assert torch.equal(found.images[..., mask], images[found.partner][..., mask])
        assert torch.equal(found.images[..., ~mask], images[..., ~mask])
        assert found.share == 1 - int(mask.sum()) / SIDE**2
        areas.append(1 - found.share)
    assert min(areas) < 0.1 and max(areas) > 0.5


def test_cut_mix_pastes_everywhere() -> None:
    images = torch.stack([torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)])
    pasted = sum(found.images[0, 0] for found in mixed_many(images, PASTE, 300))
    assert isinstance(pasted, Tensor) and pasted.min() > 10


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    section = Regularization(mixup=1.0, mixup_alpha=alpha)
    shares = np.array([found.share for found in mixed_many(noise(2, 2), section, 1500)])
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.12)


def test_each_kind_of_mixing_happens_to_its_share_of_the_batches() -> None:
    images = noise(4, 6)
    found = mixed_many(images, Regularization(mixup=0.3, mixup_alpha=2.0, cutmix=0.5), 1500)
    untouched = [one for one in found if one.partner is None]
    assert all(one.images is images and one.share == 1 for one in untouched)
    assert len(untouched) / 1500 == pytest.approx(0.2, abs=0.04)
    mixed = [one for one in found if one.partner is not None and one.partner[0] != 0]
    pasted = [one for one in mixed if bool((one.images[0] == images[0]).any())]  # blending leaves no pixel alone
    assert len(pasted) / len(mixed) == pytest.approx(0.5 / 0.8, abs=0.05)


def test_switched_off_nothing_is_drawn_and_nothing_copied() -> None:
    images, generator = noise(), Generator().manual_seed(0)
    state = generator.get_state()
    found = mix(images, Regularization(), generator)
    assert found.images is images and found.partner is None and found.share == 1
    assert torch.equal(generator.get_state(), state)


def test_whether_a_batch_is_mixed_does_not_change_what_is_drawn_after_it() -> None:
    after = set()
    for section in (BLEND, PASTE, Regularization(mixup=0.01)):
        generator = Generator().manual_seed(0)
        mix(noise(), section, generator)
        after.add(float(torch.rand((), generator=generator)))
    assert len(after) == 1


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["mixup", "cutmix"]),
    alpha=st.floats(1e-6, 50),
    count=st.integers(1, 5),
    side=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_invariants_of_mixing(kind: str, alpha: float, count: int, side: int, seed: int) -> None:
    """Shape, type and memory order stay, the input stays whole, and only the generator decides."""
    section = Regularization.model_validate({kind: 1.0, f"{kind}_alpha": alpha})
    images = noise(count, side).to(memory_format=torch.channels_last)
    before = images.clone()
    torch.manual_seed(seed)
    np.random.seed(seed)
    one, two = (mix(images, section, Generator().manual_seed(seed)) for _ in range(2))
    assert one.images.shape == images.shape and one.images.dtype == images.dtype
    assert one.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert 0 <= one.share <= 1 and one.share == two.share and torch.equal(one.images, two.images)
    assert one.partner is not None and two.partner is not None and torch.equal(one.partner, two.partner)


LABELS, OTHERS = torch.tensor([0, 1, 2, 1]), torch.tensor([2, 2, 0, 1])


def logits(seed: int = 0) -> Tensor:
    return torch.randn(4, 3, generator=Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, 1.0])
def test_the_loss_pulls_towards_both_labels_by_their_shares(share: float) -> None:
    """The gradient of a mean cross-entropy with soft targets is (softmax − targets) / N, whatever the smoothing."""
    at = logits()
    targets = share * one_hot(LABELS, 3) + (1 - share) * one_hot(OTHERS, 3)
    found = gradient(mixed_loss(at, LABELS, OTHERS, share), at)
    assert torch.allclose(found, (at.softmax(1) - targets) / 4)
    smooth = gradient(mixed_loss(at, LABELS, OTHERS, share, 0.3), at)
    assert torch.allclose(smooth, (at.softmax(1) - (0.7 * targets + 0.1)) / 4)


def test_the_gradient_is_the_share_weighted_sum_with_class_weights_too() -> None:
    at, weight = logits(), torch.tensor([1.0, 5.0, 0.5], dtype=torch.float64)
    own, others = (gradient(cross_entropy(at, labels, weight=weight), at) for labels in (LABELS, OTHERS))
    found = gradient(mixed_loss(at, LABELS, OTHERS, 0.7, weight=weight), at)
    assert torch.allclose(found, 0.7 * own + 0.3 * others)
    assert not torch.allclose(found, gradient(mixed_loss(at, LABELS, OTHERS, 0.7), at))


def test_unmixed_the_loss_is_the_plain_one_to_the_bit() -> None:
    at = logits()
    assert torch.equal(mixed_loss(at, LABELS, LABELS, 1.0, 0.1), cross_entropy(at, LABELS, label_smoothing=0.1))
