"""
An algorithm is two files: one that ratekit does not have is put beside the others in a copy of the tree, and named where they are
named; nothing else is changed, and it does all that they do, on both stores.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ratekit

ADDED = Path(__file__).parent / "added"
NAMED = {
    "limit_text.py": ('"token_bucket")', '"token_bucket", "aligned_window")'),
    "algorithms/__init__.py": (
        '    "calendar": CalendarQuota,\n',
        '    "calendar": CalendarQuota,\n    "aligned_window": AlignedWindow,\n',
    ),
}
IMPORT = "from ratekit.algorithms.aligned_window import AlignedWindow\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    package = tree / "ratekit"
    shutil.copytree(Path(ratekit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("aligned_window.py", "aligned_window.lua"):
        shutil.copy(ADDED / name, package / "algorithms" / name)
    for name, (before, after) in NAMED.items():
        text = (package / name).read_text()
        assert text.count(before) == 1
        (package / name).write_text(text.replace(before, after))
    names = package / "algorithms" / "__init__.py"
    names.write_text(names.read_text().replace("from ratekit.algorithms.calendar", f"{IMPORT}from ratekit.algorithms.calendar", 1))
    return tree


@pytest.mark.parametrize("part", ["hit", "twins", "merged", "leased"])
def test_an_algorithm_is_a_python_file_and_a_lua_file(tree, redis_server, part):
    env = {**os.environ, "PYTHONPATH": str(tree)}
    words = [sys.executable, "-W", "error", str(ADDED / "trial.py"), part, redis_server.url]
    done = subprocess.run(words, env=env, cwd=tree, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
