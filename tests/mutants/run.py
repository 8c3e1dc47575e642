"""
Break one rule at a time and see that its test turns red: `make mutants`.

Each patch in this directory begins with a line "Breaks: ..." and a line "Test: ..." (a pytest node id). The tree is copied once; the
named tests must pass on the copy as it is, and each must fail once its patch is applied. Prints one line per patch; the exit code
is 1 if a patch does not apply or its test stays green.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COPIED = ("ratekit", "tests", "pyproject.toml", "README.md")


def copied(directory):
    tree = Path(directory) / "tree"
    tree.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    return tree


def header(patch):
    """What a patch breaks, and the test that must notice."""
    text = patch.read_text()
    return tuple(re.search(rf"^{word}: (.+)$", text, re.MULTILINE)[1] for word in ("Breaks", "Test"))


def applied(tree, patch, *, undo=False):
    """Whether a patch could be applied; its context may have moved, and one line of it may have changed."""
    words = ["git", "apply", "-C1", *(["-R"] if undo else []), str(patch)]
    return (
        subprocess.run(words, cwd=tree, env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}, check=False).returncode
        == 0
    )


def pytest(tree, *tests):
    """The exit code of pytest on the copy: 0 when all passed, 1 when some failed; and the end of what it said."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "RATEKIT_PROFILE": "red or green"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(words, cwd=tree, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, (done.stdout + done.stderr)[-2_000:]


def verdict(tree, patch, test):
    if not applied(tree, patch):
        return "DOES NOT APPLY"
    try:
        code, said = pytest(tree, test)
    finally:
        applied(tree, patch, undo=True)
    if code == 1:
        return "red"
    print(said)  # noqa: T201
    return "STAYED GREEN" if code == 0 else f"NO VERDICT (pytest exited with {code})"


def main(wanted):
    patches = [patch for patch in sorted(HERE.glob("*.patch")) if not wanted or any(name in patch.name for name in wanted)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        tree = copied(directory)
        code, said = pytest(tree, *sorted({header(patch)[1] for patch in patches}))
        if code:
            print(f"{said}\nthe tests do not pass as they are: nothing can be said of mutants")  # noqa: T201
            return 1
        bad = 0
        for patch in patches:
            breaks, test = header(patch)
            began = time.monotonic()
            said = verdict(tree, patch, test)
            bad += said != "red"
            print(f"{said:12} {time.monotonic() - began:5.1f} s  {patch.stem}: {breaks}", flush=True)  # noqa: T201
    print(f"{len(patches) - bad} of {len(patches)} mutants were noticed")  # noqa: T201
    return 1 if bad or not patches else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only the patches whose file names contain one of these")
    raise SystemExit(main(parser.parse_args().names))
