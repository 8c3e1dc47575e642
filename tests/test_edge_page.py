"""
docs/edge.md shows what its command finds.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ratekit import Limit
from ratekit.kv.node_terms import Terms

DOCS = Path(__file__).parents[1] / "docs"


def tables(page):
    """The tables by name; a Redis is measured, and measures otherwise each time."""
    found = dict(re.findall(r"<!-- (\w+): made by .*?-->\n(.*?)<!-- end -->", page.read_text(encoding="utf-8"), re.DOTALL))
    del found["redis"]
    return found


def made(directory, *parts):
    command = [sys.executable, DOCS / "draw_edge.py", "--output", directory, *parts]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return tables(directory / "edge.md")


def test_the_tables_and_the_pictures_are_made_by_the_command_that_is_named(tmp_path):
    assert made(tmp_path, "latency", "constraint", "cost") == tables(DOCS / "edge.md")
    assert {path.name for path in tmp_path.glob("*.png")} == {f"edge-{part}.png" for part in ("latency", "constraint", "cost")}


@pytest.mark.long
def test_the_table_of_longer_windows_is_what_the_command_finds(tmp_path):
    assert made(tmp_path, "windows") == tables(DOCS / "edge.md")


def test_every_picture_is_there_and_none_is_large():
    shown = re.findall(r"\]\((edge-\w+\.png)\)", (DOCS / "edge.md").read_text(encoding="utf-8"))
    assert len(shown) == 4
    for name in shown:
        assert 10_000 < (DOCS / name).stat().st_size < 300_000


def test_what_the_page_says_of_the_staleness_and_of_the_window_for_a_tenth_is_so():
    page = (DOCS / "edge.md").read_text(encoding="utf-8")
    assert f"with the defaults {Terms().staleness:.0f} s" in page.replace("\n", " ")
    window, quota = 12 * 60, 1000
    limit = Limit(quota, per=window, algorithm="fixed_window")
    terms = Terms(8, 2 * quota / window, cache_age=30.0)
    assert round(terms.staleness) == 35
    assert 0.09 * quota < terms.max_over(limit) <= 0.1 * quota
    assert "windows of 12 minutes" in page
