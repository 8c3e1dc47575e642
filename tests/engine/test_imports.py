"""
ratekit imports without its extras, and what needs one says which. The same from a wheel.
"""

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).parents[2]
INSTALLED = Path(redis.__file__).parents[1]
EXTRAS = {
    "redis": {"redis", "hiredis"},
    "cli": {"typer", "rich"},
    "plot": {"matplotlib"},
    "testing": {"pytest", "_pytest", "fakeredis"},
    "django": {"django"},
    "drf": {"rest_framework"},
    "flask": {"flask", "werkzeug"},
    "frameworks": {"starlette", "fastapi", "uvicorn", "httpx", "trio", "websockets"},
}
NEEDS = {
    "ratekit.testing.conformance": ("testing", "testing"),
    "ratekit.testing.fake": ("redis", "testing"),
    "ratekit.testing.plugin": ("testing", "testing"),
    "ratekit.cli": ("cli", "cli"),
    "ratekit.django": ("django", "django"),
    "ratekit.drf": ("drf", "drf"),
    "ratekit.fastapi": ("frameworks", "fastapi"),
    "ratekit.flask": ("flask", "flask"),
    "ratekit.kv.cloudflare": ("frameworks", "kv"),
    "ratekit.kv.serve": ("frameworks", "demo"),
}
"""Which of EXTRAS a module cannot do without, and the extra that it then names."""
CLUSTER = [f"cluster{part}" for part in ("", "_address", "_async", "_base", "_map", "_shard", "_shard_async", "_start", "_watch")]
BEHIND = tuple(
    f"ratekit.stores.redis.{name}" for name in ("address", "line", "opening", "socket", "store", "trip", "wire", *CLUSTER)
)
"""Their package says what is missing."""
APPLICATIONS = "ratekit.cli.demo_"  # the parts of `ratekit demo`, which says itself what is missing

IMPORT_ALL = """if True:
    import importlib, json, sys
    sys.path[:0] = sys.argv[1:3]
    answers = {}
    for name in sys.argv[3:]:
        try:
            importlib.import_module(name)
            answers[name] = ""
        except Exception as error:
            answers[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(answers))
"""


def modules():
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "ratekit").rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def world_without(absent, directory):
    """A directory with every installed package but those that are absent."""
    for entry in INSTALLED.iterdir():
        package = re.split(r"[.-]", entry.name)[0].lower()
        if package not in absent and entry.suffix != ".pth" and package != "ratekit":
            (directory / entry.name).symlink_to(entry)
    return directory


def imported(where, world, names):
    """What importing each module by itself raises, in a Python that knows nothing else."""
    words = [sys.executable, "-S", "-E", "-c", IMPORT_ALL, str(where), str(world), *names]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=world)
    return json.loads(done.stdout)


def expected(name, missing):
    """The extra that a module needs and that is missing."""
    starts = ((start, extra) for start, (absent, extra) in NEEDS.items() if absent in missing)
    return next((extra for start, extra in starts if f"{name}.".startswith(f"{start}.")), None)


@pytest.mark.parametrize(
    "missing",
    [("redis",), ("cli",), ("plot",), ("frameworks",), ("drf",), ("flask",), ("django", "drf"), tuple(EXTRAS)],
    ids=" ".join,
)
def test_every_module_imports_or_names_the_extra_that_is_missing(tmp_path, missing):
    absent = set().union(*(EXTRAS[extra] for extra in missing))
    answers = imported(ROOT, world_without(absent, tmp_path), modules())
    for name, raised in answers.items():
        extra = expected(name, missing)
        if name.startswith(APPLICATIONS) and "frameworks" in missing:
            assert raised.startswith(("ModuleNotFoundError", "MissingExtra")) or not raised, name
        elif name in BEHIND and "redis" in missing:
            assert raised.startswith("ModuleNotFoundError"), name
        elif extra is None:
            assert raised == "", name
        else:
            assert raised.startswith("MissingExtra"), name
            assert f"pip install 'ratekit[{extra}]'" in raised


@pytest.mark.parametrize(
    "code",
    [
        "Limiter('5/minute', store='redis://x')",
        "open_store('redis://x')",
        "AsyncLimiter('5/minute', store='rediss://x')",
        "from ratekit.stores import RedisStore",
        "from ratekit.stores.redis import AsyncRedisStore",
    ],
)
def test_a_redis_url_without_the_extra_says_what_to_install(tmp_path, code):
    world = world_without(EXTRAS["redis"], tmp_path)
    script = f"import sys; sys.path[:0] = {[str(ROOT), str(world)]!r}; from ratekit import *; {code}"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, check=False)
    assert "MissingExtra" in done.stderr
    assert "pip install 'ratekit[redis]'" in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "Limiter('5/minute', store='upstash://token@x')",
        "AsyncLimiter('5/minute', store='upstash://token@x')",
        "from ratekit.stores import UpstashStore; UpstashStore('https://x', 'token')",
    ],
)
def test_an_upstash_url_without_the_extra_says_what_to_install(tmp_path, code):
    world = world_without(EXTRAS["frameworks"], tmp_path)
    script = f"import sys; sys.path[:0] = {[str(ROOT), str(world)]!r}; from ratekit import *; {code}"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, check=False)
    assert "MissingExtra" in done.stderr
    assert "pip install 'ratekit[upstash]'" in done.stderr


def test_the_command_without_its_extra_says_what_to_install(tmp_path):
    world = world_without(EXTRAS["cli"], tmp_path)
    words = [sys.executable, "-S", "-m", "ratekit", "parse", "5/minute"]
    path = os.pathsep.join([str(ROOT), str(world)])
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"PYTHONPATH": path})
    assert done.returncode != 0
    assert done.stderr.strip().endswith("pip install 'ratekit[cli]'")


def test_importing_ratekit_loads_no_framework_and_no_store_of_somebody_else():
    code = "import ratekit, sys; print(sorted({'redis', 'starlette', 'typer', 'matplotlib', 'uvicorn', 'trio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed: the wheel cannot be built without network")
def test_a_wheel_holds_all_that_is_needed_and_works_by_itself(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert "ratekit/py.typed" in names
    sources = {str(path.relative_to(ROOT)) for kind in ("*.py", "*.lua") for path in (ROOT / "ratekit").rglob(kind)}
    assert sources <= names
    assert not any(name.startswith(("tests", "docs", "examples")) for name in names)
    (tmp_path / "world").mkdir()
    answers = imported(tmp_path / "installed", world_without(set(), tmp_path / "world"), modules())
    assert set(answers.values()) == {""}
