"""`regstudy.load`: a trained network as a module that takes images and answers with classes and probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.data.preprocessing import pixel_transform
from regstudy.errors import ArgumentError, ConfigError, FileError
from regstudy.files.paths import given_path, shown
from regstudy.models.weights import read_weights
from regstudy.production.image_input import Picture, as_batches, decoded
from regstudy.production.older_folder import no_weights, preprocessing_in
from regstudy.production.preprocessing_file import OLD_WEIGHTS_FILE, WEIGHTS_FILE, StoredPreprocessing
from regstudy.space.loader import load_config
from regstudy.text import counted
from regstudy.training.devices import choose_device

BATCH_SIZE = 256
BATCH_NUMBERS = 40_000_000  # pixel values of a batch at most, 160 MB as float32: 256 RGB images of 224×224


class Classifier(nn.Module):
    """A trained network, or an ensemble of several, with its crop and normalization.

    ``facts`` is the content of preprocessing.json, ``networks`` are the modules that were trained. Always in eval mode
    unless `train` is called.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, networks: Sequence[nn.Module], facts: StoredPreprocessing) -> None:
        super().__init__()
        self.facts = facts
        self.networks = nn.ModuleList(networks)
        pixels = pixel_transform(facts.crop, (facts.mean, facts.std), torch.device("cpu"))
        self.register_buffer("scale", pixels.scale, persistent=False)
        self.register_buffer("shift", pixels.shift, persistent=False)
        self.eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self.facts.classes

    @property
    def batch_size(self) -> int:
        """How many images `predict` classifies at once."""
        return max(1, min(BATCH_SIZE, BATCH_NUMBERS // (self.facts.channels * self.facts.size**2)))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 N×C×S×S, as `preprocess` returns them, to probabilities float32 N×classes, which sum to 1."""
        _check(images, self.facts)
        top = left = (self.facts.size - self.facts.crop) // 2
        cropped = images[..., top : top + self.facts.crop, left : left + self.facts.crop]
        pixels = torch.addcmul(self.shift, cropped.float(), self.scale).contiguous(memory_format=torch.channels_last)
        # a network may have further outputs, which are never correct (head_size of resnet18_dropout)
        logits = [network(pixels).float()[:, : len(self.classes)] for network in self.networks]
        answers = [(one / self.facts.temperature).softmax(1) for one in logits]
        return answers[0] if len(answers) == 1 else torch.stack(answers).mean(0)

    def preprocess(self, image: Picture) -> Tensor:
        """One picture, by its path or opened by Pillow or as an array, as uint8 C×S×S: what `forward` takes.

        It is decoded as the training images were: upright, in the training's colors, resized to its size. Raises
        DataError if it cannot be read.
        """
        return decoded(image, self.facts)

    @torch.inference_mode()
    def predict(self, images: Picture | Iterable[Picture] | Tensor) -> pd.DataFrame:
        """A row per image: ``class``, ``probability``, and a column for the probability of each class.

        - ``images``: a path, a folder (all images in and below it), a Pillow image, a uint8 array or tensor (H×W,
          H×W×C or C×H×W; several: N×H×W×C or N×C×H×W), or a list of such. Paths give the column ``file``.

        Raises ArgumentError for anything else, and DataError that names every file that cannot be read.
        """
        found = [(names, self.probabilities(batch)) for names, batch in as_batches(images, self.facts, self.batch_size)]
        names = [name for some, _ in found for name in some]
        every = torch.cat([some for _, some in found]) if found else torch.empty(0, len(self.classes))
        return self.table(every, names)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """As `forward`, on the device of the weights, with the result on the CPU and without gradients."""
        answers: Tensor = self(images.to(self.scale.device)).cpu()
        return answers

    def table(self, probabilities: Tensor, files: Sequence[str] = ()) -> pd.DataFrame:
        """Probabilities N×classes as the table that `predict` returns."""
        best = probabilities.argmax(1).tolist()
        columns: dict[str, object] = {"file": list(files)} if files else {}
        columns["class"] = [self.classes[number] for number in best]
        columns["probability"] = probabilities.amax(1).numpy()
        of_classes = {f"p({name})": probabilities[:, number].numpy() for number, name in enumerate(self.classes)}
        return pd.DataFrame({**columns, **of_classes})


def load(out: str | Path, device: str | None = "cpu") -> Classifier:
    """The trained network in the output folder of `regstudy train`, ready to classify images: see `Classifier`.

    ``device`` is cpu, cuda or mps; None is the fastest one available. A network of your own code is imported from where
    its configuration says. Raises FileError or ConfigError if the folder holds no usable training.
    """
    folder = given_path(out, "out")
    if folder.is_file():
        raise FileError(f"{shown(folder)} is a file. Give the output folder of `regstudy train`.")
    if not folder.is_dir():
        raise FileError(f"There is no folder {shown(folder)}. Give the output folder of `regstudy train`.")
    config = _configuration(folder)
    facts = preprocessing_in(folder, config)
    networks = [network_from(folder, member, config, facts) for member in facts.members]
    return Classifier(networks, facts).to(choose_device(device))


def _configuration(folder: Path) -> RunConfig:
    path = folder / "config.yaml"
    if path.exists():
        return load_config(path)
    is_study = (folder / "study.db").exists()
    study = " It is the folder of a study: export its winner, then train on that." if is_study else ""
    raise FileError(f"{shown(folder)} is not the output folder of `regstudy train`: it has no config.yaml.{study}")


def network_from(folder: Path, member: str, config: RunConfig, facts: StoredPreprocessing) -> nn.Module:
    """The configured network with the weights of a file; nothing is downloaded."""
    path = folder / member
    old = folder / OLD_WEIGHTS_FILE
    if member == WEIGHTS_FILE and not path.exists() and old.exists():
        path = old
    if not path.exists():
        raise no_weights(folder, member)
    network = bare_network(config, facts)
    try:
        tensors = read_weights(path)
    except ConfigError as error:
        raise FileError(str(error).removeprefix("model.weights: ")) from None
    _fill(network, tensors, path, config.model.name)
    return network


def bare_network(config: RunConfig, facts: StoredPreprocessing) -> nn.Module:
    """The configured network with random weights, to be replaced."""
    bare = config.model.model_copy(update={"weights": None, "trainable": "all"})
    with torch.random.fork_rng(devices=[]):
        network = models.build(bare, facts.channels, facts.crop, len(facts.classes))
    return network.to(memory_format=torch.channels_last)


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Copy all weights; FileError unless they are exactly those of the network."""
    own = network.state_dict()
    missing, strange = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    reshaped = [key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape]
    if missing or strange or reshaped:
        wrong = [
            f"{counted(len(keys), 'tensor')} {words} ({', '.join(sorted(keys)[:3])}{', …' if len(keys) > 3 else ''})"
            for keys, words in ((missing, "missing"), (strange, "unknown"), (reshaped, "of another shape"))
            if keys
        ]
        raise FileError(
            f"{shown(path)} does not fit the network '{name}' in config.yaml next to it: {'; '.join(wrong)}. The files"
            " are of different trainings, or the code of the network has changed since. Restore both from one training."
        )
    network.load_state_dict(tensors)


def _check(images: Tensor, facts: StoredPreprocessing) -> None:
    wanted = (facts.channels, facts.size, facts.size)
    if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != wanted:
        shape = "×".join(str(side) for side in images.shape)
        raise ArgumentError(
            f"images must be uint8 of the shape N×{'×'.join(map(str, wanted))}, as `preprocess` returns them, but they"
            f" are {str(images.dtype).removeprefix('torch.')} of the shape {shape}. `predict` takes other shapes."
        )
