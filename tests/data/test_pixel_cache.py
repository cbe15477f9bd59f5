"""Pictures are decoded once, by content; nothing half-written is trusted; little is held in memory."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from regstudy.data import file_digests, parallel, pixel_cache
from regstudy.data.decoding import Pixels, Policy
from regstudy.data.file_digests import digested
from regstudy.data.pixel_cache import Skipped, load_pixels
from regstudy.errors import DataError

POLICY = Policy(6)
COUNT = 40


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 7, 3), dtype=np.uint8))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 40 small pictures."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        picture(number).save(folder / f"{number:02d}.png")
    return folder


def start(folder: Path, policy: Policy = POLICY) -> tuple[Pixels, Skipped]:
    """What a start of the program does with all files of a folder."""
    cache = folder.parent / "cache"
    names = sorted(path.name for path in folder.iterdir())
    return load_pixels(digested(folder, names, cache / f"{folder.name}.json"), policy, cache)


class Work(NamedTuple):
    """The names of files that were read for their digest, and how many contents were decoded."""

    read: list[str]
    decoded: list[bytes]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What is done from now on; files may be remembered as soon as they are written."""
    done = Work([], [])
    read, decode = file_digests._read, pixel_cache.decode
    monkeypatch.setattr(file_digests, "MIN_AGE", 0.0)
    monkeypatch.setattr(file_digests, "_read", lambda file: (done.read.append(file.name), read(file))[1])
    monkeypatch.setattr(
        pixel_cache, "decode", lambda content, policy: (done.decoded.append(content), decode(content, policy))[1]
    )
    return done


def kept(folder: Path) -> set[str]:
    return {path.suffix for path in (folder.parent / "cache").iterdir()}


def test_a_second_start_reads_and_decodes_nothing(images: Path, work: Work) -> None:
    first, _ = start(images)
    assert len(work.read) == len(work.decoded) == len(first) == COUNT
    again, skipped = start(images)
    assert len(work.read) == len(work.decoded) == COUNT
    assert np.array_equal(first, again) and not skipped
    assert kept(images) == {".npy", ".json", ".lock"}


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.parent / "elsewhere" / "deeper"))


def moved(folder: Path) -> Path:
    return folder.rename(folder.parent / "moved")


def touched(folder: Path) -> Path:
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    return folder


def without_index(folder: Path) -> Path:
    (folder.parent / "cache" / "images.json").unlink()
    return folder


def with_index_of(content: bytes) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        (folder.parent / "cache" / "images.json").write_bytes(content)
        return folder

    return change


SAME: dict[str, tuple[Callable[[Path], Path], int]] = {
    "nothing": (lambda folder: folder, 0),
    "the folder is copied": (copied, COUNT),
    "the folder is moved": (moved, COUNT),
    "every file is touched": (touched, COUNT),
    "the index is gone": (without_index, COUNT),
    "the index is empty": (with_index_of(b""), COUNT),
    "the index is a list": (with_index_of(b"[1]"), COUNT),
    "the index is of another kind": (with_index_of(b'{"00.png": {"sha": 1}}'), COUNT),
    "the index is of other types": (with_index_of(b'{"00.png": [1, 2, 3, 4]}'), COUNT),
    "the index is no text": (with_index_of(b"\xff\xfe{"), COUNT),
}


@pytest.mark.parametrize("change", SAME)
def test_the_same_contents_are_found_again_when(images: Path, work: Work, change: str) -> None:
    first, _ = start(images)
    make, read = SAME[change]
    work.read.clear()
    work.decoded.clear()
    folder = make(images)
    if folder.parent != images.parent:  # deeper, as another place may be
        folder = folder.rename(images.parent / "again")
    again, _ = start(folder)
    assert np.array_equal(first, again)
    assert (len(work.read), len(work.decoded)) == (read, 0)


def replaced(folder: Path) -> None:
    picture(99).save(folder / "03.png")


def replaced_with_the_old_time(folder: Path) -> None:
    """Another picture of the same length and modification time, as archives unpack them."""
    path = folder / "03.png"
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchanged(folder: Path) -> None:
    """Two names swapped; the files are as they were."""
    (folder / "03.png").rename(folder / "x")
    (folder / "04.png").rename(folder / "03.png")
    (folder / "x").rename(folder / "04.png")


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (array,) = (folder.parent / "cache").glob("*.npy")
        array.write_bytes(change(array.read_bytes()))

    return do


def of_another_shape(content: bytes) -> bytes:
    return content.replace(b"(40, 3, 6, 6)", b"(40, 3, 4, 9)")


CHANGED: dict[str, Callable[[Path], Any]] = {
    "a file is exchanged": replaced,
    "a file is exchanged in secret": replaced_with_the_old_time,
    "two files are exchanged": exchanged,
    "a file is renamed": lambda folder: (folder / "03.png").rename(folder / "zz.png"),
    "a file is removed": lambda folder: (folder / "03.png").unlink(),
    "a file is added": lambda folder: picture(99).save(folder / "99.png"),
    "the array is gone": lambda folder: next((folder.parent / "cache").glob("*.npy")).unlink(),
    "the array is empty": damage(lambda _: b""),
    "the array lacks a byte": damage(lambda content: content[:-1]),
    "the array has a byte too many": damage(lambda content: content + b"\0"),
    "the array lacks its header": damage(lambda content: content[128:] + content[:128]),
    "the array has half a header": damage(lambda content: content[:60]),
    "the array has another shape": damage(of_another_shape),
    "the array is an archive": damage(lambda content: b"PK\3\4" + content[4:]),
}


@pytest.mark.parametrize("change", CHANGED)
def test_pictures_are_decoded_again_when(images: Path, work: Work, change: str) -> None:
    first = start(images)[0].copy()  # what is mapped goes with the file when that is cut short
    work.decoded.clear()
    CHANGED[change](images)
    pixels, skipped = start(images)
    assert len(work.decoded) == len(list(images.iterdir())) == len(pixels) + len(skipped)
    assert change.startswith("the array") == (pixels.shape == first.shape and np.array_equal(pixels, first))
    work.decoded.clear()
    start(images)
    assert not work.decoded


@pytest.mark.parametrize("policy", [Policy(7), Policy(6, "pad"), Policy(6, "stretch"), Policy(6, channels=1)])
def test_another_policy_has_an_array_of_its_own(images: Path, work: Work, policy: Policy) -> None:
    first, _ = start(images)
    other, _ = start(images, policy)
    assert other.shape != first.shape or not np.array_equal(other, first)
    assert len(work.decoded) == 2 * COUNT and len(work.read) == COUNT
    start(images), start(images, policy)
    assert len(work.decoded) == 2 * COUNT


def test_a_file_that_changed_a_moment_ago_is_read_again(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "MIN_AGE", 3600.0)
    start(images)
    read: list[str] = []
    genuine = file_digests._read
    monkeypatch.setattr(file_digests, "_read", lambda file: (read.append(file.name), genuine(file))[1])
    start(images)
    assert len(read) == COUNT


def test_writing_to_the_pixels_does_not_reach_the_file(images: Path) -> None:
    pixels, _ = start(images)
    before = pixels.copy()
    pixels[:] = 0
    assert np.array_equal(start(images)[0], before)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 3, 16, 1000])
def test_the_order_is_the_same_for_any_number_of_threads(
    images: Path, monkeypatch: pytest.MonkeyPatch, threads: int, batch: int
) -> None:
    monkeypatch.setattr(parallel, "THREAD_COUNT", threads)
    monkeypatch.setattr(pixel_cache, "FILES_PER_BATCH", batch)
    genuine = pixel_cache.decode

    def slow_at_first(content: bytes, policy: Policy) -> Pixels:
        if content == (images / "00.png").read_bytes():
            time.sleep(0.03)
        return genuine(content, policy)

    monkeypatch.setattr(pixel_cache, "decode", slow_at_first)
    pixels, _ = start(images)
    for number in (0, 1, 17, COUNT - 1):
        center = picture(number).resize((6, 6), Image.Resampling.BILINEAR, (0, 1, 7, 8))
        assert np.array_equal(pixels[number], np.asarray(center).transpose(2, 0, 1))


def test_few_pictures_are_in_memory_at_a_time(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "THREAD_COUNT", 2)
    monkeypatch.setattr(pixel_cache, "MAX_BATCH_BYTES", 2 * 3 * 6 * 6)  # batches of two
    alive, most, lock = 0, 0, threading.Lock()
    genuine = pixel_cache._decoded

    class Counted(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            nonlocal alive
            if self.base is None or not isinstance(self.base, Counted):
                with lock:
                    alive -= 1

    def decoded(file: Any, policy: Policy) -> Any:
        nonlocal alive, most
        result = genuine(file, policy)
        with lock:
            alive += 1
            most = max(most, alive)
        return result.view(Counted)  # type: ignore[union-attr]

    monkeypatch.setattr(pixel_cache, "_decoded", decoded)
    start(images)
    assert alive <= 2 and 2 <= most <= 2 * (2 + parallel.WAITING_BATCHES + 1) < COUNT / 2


# Ends before the end


def test_an_interrupted_start_leaves_nothing_that_a_later_one_trusts(
    images: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = pixel_cache.decode

    def interrupted(content: bytes, policy: Policy) -> Pixels:
        if len(work.decoded) == 25:
            raise KeyboardInterrupt
        return counted(content, policy)

    with monkeypatch.context() as patched:
        patched.setattr(pixel_cache, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start(images)
    assert kept(images) == {".json", ".lock"}
    assert Image.MAX_IMAGE_PIXELS is not None
    work.decoded.clear()
    assert len(start(images)[0]) == len(work.decoded) == COUNT


def decode_until_killed(folder: Path) -> None:
    genuine = pixel_cache.decode

    def decode(content: bytes, policy: Policy) -> Pixels:
        if content == (folder / "39.png").read_bytes():
            os.kill(os.getpid(), signal.SIGKILL)
        return genuine(content, policy)

    pixel_cache.decode = decode
    parallel.THREAD_COUNT = 1
    start(folder)


def started(target: Callable[..., None], *arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to fork is safe here: no thread is at work
        process.start()
    return process


def test_what_a_killed_process_left_is_removed(images: Path) -> None:
    process = started(decode_until_killed, images)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert ".partial" in kept(images) and ".npy" not in kept(images)
    assert len(start(images, Policy(7))[0]) == COUNT  # of another name
    assert ".partial" not in kept(images) and ".npy" in kept(images)
    assert len(start(images)[0]) == COUNT


def decode_and_report(folder: Path, report: Path) -> None:
    genuine = pixel_cache.decode
    count = 0

    def decode(content: bytes, policy: Policy) -> Pixels:
        nonlocal count
        count += 1
        time.sleep(0.005)
        return genuine(content, policy)

    pixel_cache.decode = decode
    pixels, _ = start(folder)
    report.write_text(f"{count} {int(pixels.sum())}")


def test_of_two_processes_at_once_one_decodes_and_both_succeed(images: Path, tmp_path: Path) -> None:
    reports = [tmp_path / f"{number}" for number in range(2)]
    processes = [started(decode_and_report, images, report) for report in reports]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    counts, sums = zip(*(map(int, report.read_text().split()) for report in reports), strict=True)
    assert sorted(counts) == [0, COUNT] and sums[0] == sums[1] == int(start(images)[0].sum())


def test_of_several_threads_at_once_one_decodes_and_all_succeed(images: Path, work: Work) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: start(images)[0], range(3)))
    assert len(work.decoded) == COUNT
    assert all(np.array_equal(result, results[0]) for result in results)


def test_who_waits_for_another_says_so(
    images: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pixel_cache, "SILENT_WAIT", 0.05)
    cache = images.parent / "cache"
    cache.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with FileLock(cache / "decoding.lock"):
            waiting = pool.submit(start, images)
            time.sleep(0.3)
            assert not waiting.done()
        assert len(waiting.result(30)[0]) == COUNT
    assert "Waiting for another process" in caplog.text


def test_a_file_that_changes_while_others_are_decoded_is_an_error(images: Path) -> None:
    names = sorted(path.name for path in images.iterdir())
    files = digested(images, names, images.parent / "cache" / "index.json")
    picture(99).save(images / "20.png")
    with pytest.raises(DataError, match=r"20\.png changed .* Try again"):
        load_pixels(files, POLICY, images.parent / "cache")
    assert ".npy" not in kept(images) and ".partial" not in kept(images)


# Room


def test_too_little_room_is_an_error_before_anything_is_decoded(
    images: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 4000))  # type: ignore[attr-defined]
    with pytest.raises(
        DataError, match=r"not have enough free space\. 40 images of 6×6 pixels need 4\.3e-06 GB\. Free some"
    ):
        start(images)
    assert not work.decoded


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "is full. 40 images"), (errno.EIO, "cannot be saved .* Choose another")]
)
def test_a_disk_that_does_not_take_the_pixels_is_an_error(
    images: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pixel_cache.os, "fsync", fail)
    monkeypatch.setattr(file_digests, "write_atomically", lambda *_: None)
    with pytest.raises(DataError, match=words):
        start(images)
    assert kept(images) == {".lock"}


def test_a_file_system_without_locks_is_an_error(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(DataError, match=r"without file locks\. Choose another data folder"):
        start(images)


def test_pictures_that_pillow_alone_would_refuse_are_decoded(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    pixels, skipped = start(images)
    assert len(pixels) == COUNT and not skipped


def test_pixels_kept_in_a_folder_that_cannot_be_written_are_used(
    images: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = start(images)
    without_index(images)

    def fail(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(file_digests, "write_atomically", fail)
    monkeypatch.setattr(pixel_cache, "make_folder", fail)
    assert np.array_equal(start(images)[0], first)
    assert len(work.decoded) == COUNT


# Files that cannot be decoded


def test_files_that_cannot_be_decoded_are_left_out_and_remembered(images: Path, work: Work) -> None:
    odd = 'a "quoted"\nname é.png'
    (images / odd).write_bytes(b"no picture")
    (images / "05.png").write_bytes((images / "05.png").read_bytes()[:60])
    (images / "zz.png").symlink_to(images / "nowhere")
    expected = {"05.png": "truncated", odd: "not an image", "zz.png": "a broken link"}
    first, skipped = start(images)
    assert skipped == expected and len(first) == COUNT - 1
    assert np.array_equal(first[5], np.asarray(start(images)[0][5]))
    center = picture(6).resize((6, 6), Image.Resampling.BILINEAR, (0, 1, 7, 8))
    assert np.array_equal(first[5], np.asarray(center).transpose(2, 0, 1))  # the next one took its place
    done = len(work.decoded)
    again, skipped = start(images)
    assert skipped == expected and np.array_equal(again, first) and len(work.decoded) == done
    (listed,) = (images.parent / "cache").glob("*.skipped.txt")
    assert '"05.png" truncated\n' in listed.read_text(encoding="utf-8")


LISTS: dict[str, Callable[[Path], Any]] = {
    "is gone": lambda listed: listed.unlink(),
    "is empty": lambda listed: listed.write_bytes(b""),
    "is cut": lambda listed: listed.write_bytes(listed.read_bytes()[:-15]),
    "is of another Pillow": lambda listed: listed.write_text(listed.read_text().replace("Pillow ", "Pillow 0")),
}


@pytest.mark.parametrize("change", LISTS)
def test_pictures_are_decoded_again_when_the_list_of_those_left_out(images: Path, work: Work, change: str) -> None:
    (images / "05.png").write_bytes(b"no picture")
    first, skipped = start(images)
    (listed,) = (images.parent / "cache").glob("*.skipped.txt")
    LISTS[change](listed)
    again, skipped_again = start(images)
    assert len(work.decoded) == 2 * COUNT
    assert skipped_again == skipped and np.array_equal(again, first)


def test_what_another_pillow_could_not_read_is_no_longer_listed_when_it_can_be_read(images: Path, work: Work) -> None:
    first, _ = start(images)
    (array,) = (images.parent / "cache").glob("*.npy")
    array.with_suffix(".skipped.txt").write_text('# not readable by Pillow 0.1\n"05.png" not an image\n')
    again, skipped = start(images)
    assert np.array_equal(again, first) and not skipped and len(work.decoded) == 2 * COUNT
    assert ".txt" not in kept(images)


def test_where_nothing_can_be_decoded_nothing_is_kept(images: Path) -> None:
    for path in images.iterdir():
        path.write_bytes(b"")
    pixels, skipped = start(images)
    assert pixels.shape == (0, 3, 6, 6) and len(skipped) == COUNT
    assert ".npy" not in kept(images)
