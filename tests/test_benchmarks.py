"""
The benchmarks run: a few cheap rows in short, without a word about times.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"
ROWS = ("memory, sync hit: fixed_window", "Redis async, 256 tasks, fixed_window: the limit")
PEERS = ("limits", "throttled", "uvloop")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(peer) is None for peer in PEERS), reason="the peers are not installed: make .venv/bench"
)


def run(*words):
    done = subprocess.run([sys.executable, RUN, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rows_in_short_give_numbers_for_every_side_and_a_page(tmp_path):
    saved = tmp_path / "numbers.json"
    run("--quick", *ROWS, "--save", saved)
    rows = json.loads(saved.read_text())["rows"]
    assert [row["name"] for row in rows] == list(ROWS)
    for row in rows:
        assert row["ratio"]["median"] > 0
        for name, side in row["sides"].items():
            assert all(sample["figure"] > 0 for sample in side["samples"]), name

    run("--write", saved, tmp_path / "docs")
    page = (tmp_path / "docs" / "performance.md").read_text()
    assert all(name in page for name in ROWS)
    assert 0 < (tmp_path / "docs" / "performance.png").stat().st_size < 300_000


def test_every_row_has_a_name_of_its_own_and_a_side_that_is_ratekit():
    names = [line.strip() for line in run("--list").splitlines() if line.startswith(" ")]
    assert len(names) == len(set(names)) > 30
