"""
Each adapter with only its own framework installed, in the oldest version that is supported and in the newest: it imports, it limits, and
its tests pass. `make test-matrix`; some: `python tests/matrix/run.py django flask`.

Every world is a virtual environment of its own, made from PyPI: first ratekit and the framework alone, in which `works.py` runs; then
what the tests need comes in beside them.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TOOLS = [
    "pytest>=8.3",
    "hypothesis>=6.120",
    "redis>=5.2",
    "hiredis>=3.0",
    "httpx>=0.28",
    "http-sf>=1.0",
    "uvicorn>=0.34",
    "gunicorn>=23.0",
    "websockets>=14.0",
    "typer>=0.15",
    "rich>=13.9",
]
"""What the tests of adapters need; none of it is a framework."""
OTHERS = {
    "tests/django": [
        "test_drf.py",
        "test_django_guides.py",
        "test_django_example.py",
        "test_django_charges.py",
        "test_traps_of_drf.py",
    ],
    "tests/fastapi": ["test_one_quota_for_django_and_fastapi.py"],
    "tests/wsgi": ["test_gevent.py", "test_gunicorn.py"],
    "tests/flask": ["test_flask_guide.py"],
}
"""Tests that are about two frameworks, or need a server."""


class Adapter(NamedTuple):
    """An adapter: the extra that names its oldest framework, where its tests are, and what these need beside TOOLS."""

    extra: str
    tests: str
    left_out: list[str]
    tools: list[str]


ADAPTERS = {
    "asgi": Adapter("", "", [], []),
    "wsgi": Adapter("", "tests/wsgi", OTHERS["tests/wsgi"], []),
    "starlette": Adapter("demo", "", [], []),
    "fastapi": Adapter("fastapi", "tests/fastapi", OTHERS["tests/fastapi"], ["python-multipart>=0.0.20"]),
    "django": Adapter("django", "tests/django", OTHERS["tests/django"], []),
    "drf": Adapter("drf", "tests/django", ["test_django_example.py"], []),
    "flask": Adapter("flask", "tests/flask", OTHERS["tests/flask"], ["asgiref>=3.2"]),
}
FRAMEWORKS = ("fastapi", "django", "djangorestframework", "flask", "starlette")


def frameworks(extra: str, *, oldest: bool) -> list[str]:
    """The frameworks of an extra as pip is asked for them: the version that pyproject.toml begins with, or the newest."""
    if not extra:
        return []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = dict(found.groups() for one in extras[extra] if (found := re.fullmatch(r"([a-z]+)>=([0-9.]+)", one)))
    return [f"{name}=={version}" if oldest else name for name, version in named.items() if name in FRAMEWORKS]


def run(*words: object) -> str:
    """A command's output; RuntimeError with the end of it if the command fails."""
    done = subprocess.run([*map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}\n{done.stdout[-6000:]}")
    return done.stdout.strip()


def world(name: str, directory: Path, *, oldest: bool) -> str:
    """One adapter in a world of its own; gives what is to be said about it."""
    adapter = ADAPTERS[name]
    wanted = frameworks(adapter.extra, oldest=oldest)
    run(sys.executable, "-m", "venv", directory)
    python = directory / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "--editable", ".", *wanted)
    words = [run(python, "tests/matrix/works.py", name)]
    if adapter.tests:
        run(*install, *TOOLS, *adapter.tools, *wanted)
        ignored = [f"--ignore={adapter.tests}/{test}" for test in adapter.left_out]
        words.append(run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", adapter.tests, *ignored).splitlines()[-1])
    return f"{' '.join(wanted) or 'no framework'}: {'; '.join(words)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="*", choices=[*ADAPTERS, []], help="all of them by default")
    parser.add_argument("--only", choices=["oldest", "newest"])
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as directory:
        for name in options.adapters or ADAPTERS:
            for age in ("newest",) if not ADAPTERS[name].extra else ("oldest", "newest"):
                if options.only in (None, age):
                    try:
                        print(world(name, Path(directory) / f"{name}-{age}", oldest=age == "oldest"), flush=True)
                    except RuntimeError as error:
                        failed.append(f"{name}, {age}")
                        print(error, flush=True)
    print(f"failed: {'; '.join(failed)}" if failed else "every adapter works alone with its own framework")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
