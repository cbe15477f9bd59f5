"""A GPU that does not exist: tensors with a device and a shape but without values, which count what would wait.

Torch's FakeTensorMode runs operations on devices that the machine lacks. It is private, but no public part of torch
can do this; used here alone, and only in tests (torch 2.9 to 2.14 have it at this place). Operations between devices,
and those whose result the host would have to read, raise by themselves. Copies that the host would wait for raise here.
Backward passes need a real GPU: here a gradient appears without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda:0")
WAITING = (
    "aten._local_scalar_dense",
    "aten.item",
    "aten.is_nonzero",
    "aten.nonzero",
    "aten.masked_select",
    "aten.bincount",
    "aten._unique2",
)


class Waits(RuntimeError):
    """An operation for which the host waits for the GPU."""


class NoWaiting(TorchDispatchMode):
    """Raises `Waits` for an operation on a GPU that the host waits for.

    In inference mode `to` and `item` arrive whole, elsewhere as what they are made of.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        before = {one.device.type for one in tensors}
        name = str(func).rsplit(".", 1)[0]
        if "cuda" in before and (name in WAITING or _by_mask(name, args)):
            raise Waits(f"{name} waits for its result")
        if name.startswith("aten._fused_") and before == {"cuda"}:  # these have no fake form
            return None
        found = func(*args, **kwargs)
        after = found.device.type if isinstance(found, Tensor) else ""
        if "cuda" in before and after == "cpu":
            raise Waits(f"{name} reads from the GPU")
        sends = name in ("aten._to_copy", "aten.to", "aten.copy_") and before | {after} == {"cpu", "cuda"}
        if sends and not (kwargs.get("non_blocking") or any(one is True for one in args[2:])):
            raise Waits(f"{name} sends memory that is not pinned")
        return found


def _by_mask(name: str, args: Any) -> bool:
    """Whether an operation selects by a mask, so that its result has a size that only the GPU knows."""
    if name not in ("aten.index", "aten.index_put", "aten.index_put_"):
        return False
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])


def _really(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the host alone, with real numbers."""

    def called(*args: Any, **kwargs: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args, **kwargs)

    return called


def _backward(loss: Tensor) -> None:
    """Gradients for all parameters that the loss depends on."""
    seen, ahead = set(), [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        ahead += [following for following, _ in node.next_functions]
        if hasattr(node, "variable"):
            node.variable.grad = torch.empty_like(node.variable)


@contextmanager
def fake_gpu(patch: Any) -> Iterator[None]:
    """Within this block ``cuda:0`` can be named; ``patch`` is a MonkeyPatch."""
    from regstudy.training import evaluation, loop, train_state

    for module, name in ((loop, "draw_inputs"), (loop, "balanced_order"), (train_state.models, "build")):
        patch.setattr(module, name, _really(getattr(module, name)))
    # before the first step the host may wait
    patch.setattr(train_state, "class_weights", lambda _, classes: torch.ones(classes, device=GPU))
    patch.setattr(train_state, "check_metrics", lambda *_: None)
    patch.setattr(train_state, "record_on_gpu", None)
    patch.setattr(evaluation, "images_at_once", lambda _: 5)
    patch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    patch.setattr(Tensor, "backward", _backward)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
