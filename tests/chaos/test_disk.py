"""A disk that is full while runs are evaluated, answered and settled: what could not be written is written later."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..e2e.harness import World
from .house import NAME, House, open_house
from .moments import MOMENTS, random_of
from .stories import ENDS, calm, sending, verdict, watching
from .untried import skip

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ROOM_BYTES = 24 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Put a folder on a disk of its own that has little room; skip the test, loudly, where that is not allowed."""
    if os.geteuid() != 0:
        skip("a full disk", "a file system can be mounted by root alone")
    apart = folder.with_name(f"{folder.name}-apart")
    folder.rename(apart)
    folder.mkdir(mode=0o700)
    size = sum(file.stat().st_size for file in apart.rglob("*") if file.is_file()) + ROOM_BYTES
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        skip("a full disk", done.stderr.strip())
    try:
        shutil.copytree(apart, folder, dirs_exist_ok=True)
        yield folder
    finally:
        # What is on it is looked at afterwards.
        shutil.rmtree(apart)
        shutil.copytree(folder, apart)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
        apart.rename(folder)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave not a byte on a folder's disk for the length of the block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        block = bytes(1 << 16)
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]
        assert shutil.disk_usage(folder).free < 4096
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("whose", ["operator", "institution"])
def test_a_disk_is_full_at_moments_of_runs(plain_world: World, whose: str) -> None:
    choices = random_of(f"disk-{whose}")
    with small_disk(plain_world.root / whose) as folder:
        with open_house(plain_world, options=("--min-free-mb", "2")) as house:
            calm(house)
            for number in range(2, 8):
                falling = number % 2 == 0 and house.falling()
                moment = choices.choice([one for one in MOMENTS[:7] if one.falling in (None, falling)])
                wait, run_id, seconds = watching(house), f"{NAME}.{number}", choices.uniform(1, 6)
                with sending(house):
                    wait(moment, run_id)
                    with full(folder):
                        stand(house, seconds)
                print(f"{run_id}: the {whose}'s disk full for {seconds:.1f} s after {moment.name}")
                print(f"{run_id}: {house.wait_over(number, ENDS)}")
            calm(house, 2)
            judged = verdict(house)
            assert house.operator.starts == house.agent.starts == 1
        judged()


def stand(house: House, seconds: float) -> None:
    """Let time pass in which both processes go on, whatever they cannot write."""
    end = time.monotonic() + seconds
    house.eventually(lambda: time.monotonic() > end, lambda: "time", seconds + 10)
