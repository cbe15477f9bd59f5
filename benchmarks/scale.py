"""How many trials per second a study's storage takes, with 1 to 32 workers, and what that costs a trial of 10 seconds.

    python benchmarks/scale.py [--workers 1 2 4 8 16 32] [--trials 1000] [--csv FILE] [--again] [--quick]

Simulated workers take and record trials of a study that already holds 1,000 finished ones, on SQLite and on a private
PostgreSQL server. Everything that a real worker does for a trial is done by the same code: claiming, sampling,
recording every epoch, asking the pruner, and recording the result. Only the training is replaced, by nothing or by
sleep, so torch computes nothing. Building the network, checkpoints and weights are left out: they need no storage, and
`benchmarks/overhead.py` measures them.

Without a pause, the workers show the most that storage and cores can take together. With trials of about 10 seconds,
they show what a trial really waits. CPU time, waiting for the lock, and other waiting are told apart, because this many
processes on a few cores measure the cores as well. Rows that are in the CSV file already are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from scale_study import Databases, SimulatedWorker, databases, worker_process

WORKERS = (1, 2, 4, 8, 16, 32)
TRIAL_SECONDS = 10.0
TRIALS = 1000
EPOCHS = 30
BUSY_WINDOW = 30.0  # seconds measured without a pause: many trials of every worker
PACED_WINDOW = 45.0  # seconds measured with trials of 10 seconds: four trials of every worker
PACED = (1, 16, 32)  # numbers of workers whose trials last 10 seconds
STARTUP = 240.0  # seconds until every worker must have ended its first trial
KNEE = 1.1  # more workers that give less than this many times the trials are past the knee


@dataclass(frozen=True)
class Row:
    """A measurement; times in seconds per trial."""

    storage: str
    workers: int
    trial: float  # seconds of pretended training
    trials: int  # finished ones in the study at the start
    epochs: int
    measured: float  # trials that were measured, parts of trials included
    per_second: float  # trials of all workers together
    cpu: float  # of the worker
    server: float  # CPU time of the database server
    lock: float  # waiting for the study's lock
    held: float  # the lock held, while no other worker can take a trial
    other: float  # waiting for the database or a core
    busy: float  # cores of this machine in use, by whatever program
    connections: int  # to the database server, all workers together

    @property
    def overhead(self) -> float:
        """What a trial takes in addition to its training."""
        return self.cpu + self.lock + self.other

    @property
    def key(self) -> tuple[object, ...]:
        """What tells one measurement from another."""
        return self.storage, self.workers, self.trial, self.trials, self.epochs


def main() -> None:
    """Measure what is not in the file yet, and print all of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    given = arguments()
    known = {} if given.again else {row.key: row for row in read(given.csv)}
    with databases(given.trials, given.epochs, given.data_dir, postgres=not given.no_postgres) as every:
        paces = [*((0.0, number) for number in given.workers), *((given.trial, number) for number in given.paced)]
        wanted = [(storage, n, pause, given.trials, given.epochs) for storage in every.names for pause, n in paces]
        for key in wanted:
            if key not in known:
                storage, workers, pause, *_ = key
                print(f"{storage}, {workers} workers, trials of {pause:g} s", file=sys.stderr)
                known[key] = measured(every, storage, workers, pause, given)
                write(given.csv, list(known.values()))
    show([known[key] for key in wanted])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=list(WORKERS), help="without a pause")
    parser.add_argument("--paced", type=int, nargs="*", default=list(PACED), help="with trials of --trial seconds")
    parser.add_argument("--trial", type=float, default=TRIAL_SECONDS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="finished trials in the study at the start")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--window", type=float, default=BUSY_WINDOW)
    parser.add_argument("--paced-window", type=float, default=PACED_WINDOW)
    parser.add_argument("--no-postgres", action="store_true")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--csv", type=Path, default=Path("results/scale.csv"))
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    parser.add_argument("--quick", action="store_true", help="two workers, short, SQLite only: does it run?")
    given = parser.parse_args()
    if given.quick:
        given.workers, given.paced, given.trial, given.no_postgres = [1, 2], [2], 0.2, True
        given.trials, given.epochs, given.window, given.paced_window = 30, 3, 3.0, 3.0
    return given


def measured(every: Databases, storage: str, workers: int, pause: float, given: argparse.Namespace) -> Row:
    """One measurement on a fresh copy of the database."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scale_study"])
    window = given.paced_window if pause else given.window
    with every.copy(storage) as job, ExitStack() as ending:
        pipes = []
        for number in range(workers):
            here, there = context.Pipe()
            simulated = SimulatedWorker(job, number, pause, given.epochs, every.images)
            process = context.Process(target=worker_process, args=(simulated, there), daemon=True)
            process.start()
            there.close()
            ending.callback(process.join)
            pipes.append(here)
        for pipe in pipes:  # each says so when it has ended its first trial
            if not pipe.poll(STARTUP):
                raise SystemExit(f"A simulated worker has not ended its first trial in {STARTUP:g} seconds.")
            pipe.recv()
        server, began = every.server_seconds(storage), time.monotonic()
        psutil.cpu_percent()
        time.sleep(window)
        busy, connections = psutil.cpu_percent() / 100 * psutil.cpu_count(), every.connections(storage)
        ended, server = time.monotonic(), every.server_seconds(storage) - server
        for pipe in pipes:
            pipe.send("stop")
        seen = [pipe.recv() for pipe in pipes]
    sums = dict.fromkeys(("wall", "cpu", "trials", "slept", "lock", "held"), 0.0)
    for notes in seen:
        inside = [note for note in notes if began <= note["wall"] <= ended]
        for name in sums if inside else ():
            sums[name] += inside[-1][name] - inside[0][name]
    if not sums["trials"]:
        raise SystemExit("The workers ended no trial in the time measured. Give a longer --window or --paced-window.")
    each = {name: value / sums["trials"] for name, value in sums.items()}
    per_second = workers / each["wall"]
    return Row(
        storage, workers, pause, given.trials, given.epochs, sums["trials"],
        per_second=per_second,
        cpu=each["cpu"],
        server=server / (ended - began) / per_second,
        lock=each["lock"],
        held=each["held"],
        other=each["wall"] - each["slept"] - each["cpu"] - each["lock"],
        busy=busy,
        connections=connections,
    )  # fmt: skip


def show(rows: list[Row]) -> None:
    """The table, and what follows from it."""
    first = rows[0]
    setting = f"a study of {first.trials:,} finished trials, {first.epochs} epochs per trial"
    print(f"{os.cpu_count()} cores; {setting}; milliseconds per trial")
    heads = ("trials/s", "all", "CPU", "lock", "other", "held", "server CPU", "cores", "connections", "share")
    print(f"{'storage':<11}{'workers':>8}{'trial':>7}" + "".join(f"{head:>{len(head) + 3}}" for head in heads))
    for row in rows:
        times = (row.overhead, row.cpu, row.lock, row.other, row.held, row.server)
        share = f"{row.overhead / TRIAL_SECONDS:.1%}" if row.trial == TRIAL_SECONDS else ""
        cells = [f"{row.per_second:.2f}", *(f"{1000 * value:.0f}" for value in times)]
        cells += [f"{row.busy:.1f}", f"{row.connections}" if row.connections else "", share]
        line = "".join(f"{cell:>{len(head) + 3}}" for cell, head in zip(cells, heads, strict=True))
        print(f"{row.storage:<11}{row.workers:>8}{f'{row.trial:g} s':>7}{line}")
    for storage in dict.fromkeys(row.storage for row in rows):
        print(f"{storage}: {knee([row for row in rows if row.storage == storage and not row.trial])}")


def knee(rows: list[Row]) -> str:
    """From how many workers on more of them hardly help, without a pause, and what the lock alone would allow."""
    if not rows:
        return "not measured without a pause"
    most = max(rows, key=lambda row: row.per_second)
    enough = next(row for row in rows if row.per_second * KNEE >= most.per_second)
    held = [row.held for row in rows if row.held]  # none where no worker took a trial in the time measured
    alone = f"; the lock alone would allow {1 / min(held):.0f} trials/s" if held else ""
    return (
        f"{enough.workers} workers without a pause reach nine tenths of the most, {most.per_second:.1f} trials/s{alone}"
    )


def read(path: Path) -> Iterator[Row]:
    """The measurements in a file; those of another version of this benchmark are left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if set(line) == {one.name for one in fields(Row)}:
                kinds = {one.name: {"str": str, "int": int, "float": float}[str(one.type)] for one in fields(Row)}
                yield Row(**{name: kinds[name](value) for name, value in line.items()})


def write(path: Path, rows: list[Row]) -> None:
    """All measurements so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, [one.name for one in fields(Row)])
        lines.writeheader()
        lines.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
