"""CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 RGB images of 32×32 pixels in ten classes.

Read from ``data_dir/cifar10`` or from `data.root`, in one of two forms: the authors' batches
(``cifar-10-batches-py``, downloaded with a checksum if nothing is there), or pictures in class folders
(``train/<class>/*``, ``test/<class>/*``), which may be in a zip file. Pictures are decoded once and cached.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from regstudy.config.schema import Data
from regstudy.data.cifar10_batches import FOLDER, fetch_batches, read_batches
from regstudy.data.image_set import ImageSet
from regstudy.data.parallel import in_parallel
from regstudy.errors import DataError, unknown
from regstudy.files import write_atomically
from regstudy.text import counted

Pixels = npt.NDArray[np.uint8]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES_PER_CLASS = {"train": 5000, "test": 1000}
SHAPE = (3, 32, 32)
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, Image.DecompressionBombError),  # Pillow
    *(zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError),  # damaged, encrypted, unknown compression
)
MAX_FILE_BYTES = 1_000_000  # of one picture; a file of 32×32 pixels is never larger


def load(part: str, config: Data, data_dir: Path, classes: str | None = None) -> ImageSet | None:
    """The training or test part, 3 channels, of all classes or of those named (``cat, dog``).

    Raises DataUnavailable if the data set is not here and cannot be downloaded.
    """
    if part == "validation":
        return None
    chosen = _chosen(classes)
    place = _place(config, data_dir / "cifar10")
    if place.name == FOLDER:
        pixels, labels = read_batches(place, part)
        whole = ImageSet(torch.from_numpy(pixels), torch.tensor(labels, dtype=torch.int64), CLASSES)
    else:
        whole = _from_pictures(place, part, data_dir / "cifar10")
    return whole if chosen == CLASSES else _of_classes(whole, chosen)


def _chosen(classes: str | None) -> tuple[str, ...]:
    names = CLASSES if classes is None else tuple(dict.fromkeys(name.strip() for name in classes.split(",")))
    wrong = [name for name in names if name not in CLASSES]
    if wrong:
        raise DataError(f"data.options.classes: {unknown('class', wrong[0], CLASSES)}")
    return names


def _of_classes(images: ImageSet, names: tuple[str, ...]) -> ImageSet:
    """The images of some classes, renumbered in the given order."""
    number = torch.full((len(CLASSES),), -1)
    number[[CLASSES.index(name) for name in names]] = torch.arange(len(names))
    chosen = images.subset((number[images.labels] >= 0).nonzero()[:, 0])
    return ImageSet(chosen.images, number[chosen.labels], names, chosen.paths)


def _place(config: Data, home: Path) -> Path:
    """The folder of batches, the folder that holds train and test, or the zip file."""
    if config.root is not None:
        root = Path(config.root).expanduser()
        place = _found(root)
        if place is None:
            raise DataError(
                f"data.root '{config.root}' is not CIFAR-10 (looked in {root.absolute()}). It must be {FOLDER}, a"
                " folder"
                " with train/<class> and test/<class>, or a zip file of these."
            )
        return place
    return _found(home) or fetch_batches(home)


def _found(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() == ".zip" else None
    if (root / FOLDER).exists():
        return root / FOLDER
    if root.name == FOLDER and root.is_dir():
        return root
    if (root / "train").exists() or (root / "test").exists():
        return root
    archives = sorted(root.glob("*.zip"))
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise DataError(f"{root} holds several zip files ({names}). Set data.root to the one with CIFAR-10.")
    return archives[0] if archives else None


@dataclass(frozen=True)
class _Pictures:
    """Pictures of one part in the order of their classes: paths, stamps that identify the content, a reader."""

    paths: tuple[str, ...]
    stamps: tuple[str, ...]
    read: Callable[[str], bytes]


def _from_pictures(place: Path, part: str, home: Path) -> ImageSet:
    try:
        if place.is_dir():
            return _decoded(_in_folder(place, part), place, part, home)
        with zipfile.ZipFile(place) as archive:
            return _decoded(_in_archive(archive, part), place, part, home)
    except zipfile.BadZipFile as error:
        raise DataError(f"{place} is not a complete zip file ({error}). Copy it again.") from None
    except OSError as error:
        raise DataError(f"{place} cannot be read: {error}.") from None


def _in_folder(root: Path, part: str) -> _Pictures:
    files = [path for name in CLASSES for path in sorted((root / part / name).glob("[!.]*")) if path.is_file()]
    status = [path.stat() for path in files]
    return _Pictures(
        tuple(path.relative_to(root).as_posix() for path in files),
        tuple(f"{one.st_size} {one.st_mtime_ns}" for one in status),
        lambda name: (root / name).read_bytes(),
    )


def _in_archive(archive: zipfile.ZipFile, part: str) -> _Pictures:
    """The folders may lie within others, which do not count as part of the paths."""
    members = {}
    for member in archive.infolist():
        place = PurePosixPath(member.filename)
        if len(place.parts) >= 3 and place.parts[-3] == part and place.parts[-2] in CLASSES and place.name[0] != ".":
            members["/".join(place.parts[-3:])] = member
    paths = sorted(members)  # the official order of the classes is alphabetical
    stamps = tuple(f"{members[path].file_size} {members[path].CRC}" for path in paths)
    oversized = [path for path in paths if members[path].file_size > MAX_FILE_BYTES]
    if oversized:
        raise DataError(f"'{oversized[0]}' in {archive.filename} is too large for a picture of 32×32 pixels.")
    return _Pictures(tuple(paths), stamps, lambda path: archive.read(members[path]))


def _decoded(pictures: _Pictures, place: Path, part: str, home: Path) -> ImageSet:
    labels = np.array([CLASSES.index(path.split("/")[1]) for path in pictures.paths], dtype=np.int64)
    counts, wanted = np.bincount(labels, minlength=len(CLASSES)), IMAGES_PER_CLASS[part]
    wrong = [f"{name} ({count})" for name, count in zip(CLASSES, counts, strict=True) if count != wanted]
    if wrong:
        raise DataError(
            f"{place} is not the complete CIFAR-10: {part} must have {wanted} pictures per class, but these differ:"
            f" {', '.join(wrong)}. Unpack it again. To use a part of it, set data.train_limit or use image_folder."
        )
    listing = "\n".join(f"{path} {stamp}" for path, stamp in zip(pictures.paths, pictures.stamps, strict=True))
    kept = home / f"decoded_{part}_{hashlib.sha256(listing.encode()).hexdigest()[:24]}.bin"
    pixels = _read_kept(kept, len(labels))
    if pixels is None:
        pixels = _decode(pictures, place)
        body = pixels.tobytes()
        try:
            write_atomically(kept, hashlib.sha256(body).digest() + body)
        except OSError as error:
            message = (
                f"The decoded pictures cannot be saved in {home}: {error}. Choose another data folder (--data-dir)."
            )
            raise DataError(message) from error
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels), CLASSES, pictures.paths)


def _read_kept(path: Path, count: int) -> Pixels | None:
    """The cached pictures; None if they are missing or incomplete."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[32:]
    if len(body) != count * int(np.prod(SHAPE)) or hashlib.sha256(body).digest() != content[:32]:
        return None
    return np.frombuffer(body, np.uint8).reshape(count, *SHAPE).copy()


def _decode(pictures: _Pictures, place: Path) -> Pixels:
    """uint8 N×3×32×32; DataError that names the pictures which cannot be read or have another size."""
    pixels, broken = np.empty((len(pictures.paths), *SHAPE), np.uint8), []

    def decode(path: str) -> Pixels | str:
        try:
            with Image.open(io.BytesIO(pictures.read(path))) as picture:
                if picture.size != SHAPE[1:]:
                    return f"{picture.width}×{picture.height} pixels"
                return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
        except UNREADABLE as error:
            return str(error) or type(error).__name__

    for index, result in enumerate(in_parallel(decode, pictures.paths, "decoding CIFAR-10")):
        if isinstance(result, str):
            broken.append(f"{pictures.paths[index]} ({result})")
        else:
            pixels[index] = result
    if broken:
        listed = "; ".join(broken[:10]) + (f"; and {len(broken) - 10} more" if len(broken) > 10 else "")
        count = counted(len(broken), "picture")
        raise DataError(f"{count} in {place} cannot be read: {listed}. Copy or unpack them again.")
    return pixels
