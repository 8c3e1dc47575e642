"""
docs/algorithms.md says what its command draws and measures.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ratekit import Limit
from ratekit.cli.meaning import promised, state_bytes

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = [sys.executable, DOCS / "draw_algorithms.py"]


def test_the_picture_is_drawn_by_the_command_that_is_named(tmp_path):
    subprocess.run([*COMMAND, "--output", tmp_path / "out.png"], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (DOCS / "algorithms.png").stat().st_size < 300_000


@pytest.mark.long
def test_the_measured_table_is_what_the_command_prints():
    page = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- made by: .*? -->\s*(.*?)\s*<!-- end -->", page, re.DOTALL)[1]
    printed = subprocess.run([*COMMAND, "--table"], check=True, capture_output=True, text=True, timeout=600).stdout
    assert printed.strip() == table


@pytest.mark.parametrize(
    ("algorithm", "worst"),
    [("sliding_window", "**N**"), ("fixed_window", "2N - 1"), ("sliding_counter", "2N"), ("token_bucket", "burst + N")],
)
def test_the_page_and_the_command_line_promise_the_same(algorithm, worst):
    page = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    heading, guarantee = (re.search(rf"^\| {start}.*$", page, re.MULTILINE)[0].split(" | ") for start in ("\\| `", "\\*\\*at most"))
    (column,) = (i for i, cell in enumerate(heading) if f"`{algorithm}`" in cell)
    assert guarantee[column].strip(" |") == worst
    limit = Limit(100, per=60, algorithm=algorithm)
    promises = {"**N**": 100, "2N - 1": 199, "2N": 200, "burst + N": 200}
    assert promised(limit) == promises[worst]
    assert str(state_bytes(Limit(1000, per=60, algorithm=algorithm))) in page or algorithm == "fixed_window"
