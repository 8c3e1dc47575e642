"""
What the command line says where a library that it needs is not installed: one line with the command that installs it.
"""

import subprocess
import sys

import pytest


def run_without(packages, *arguments, stdin=""):
    """The command in a process of its own, in which some packages cannot be imported."""
    blocked = "; ".join(f"sys.modules[{package!r}] = None" for package in packages)
    code = (
        f"import sys; {blocked}; sys.argv = ['ratekit', *{list(map(str, arguments))!r}]; from ratekit.__main__ import main; main()"
    )
    return subprocess.run([sys.executable, "-c", code], input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_library_the_command_line_says_how_to_install_it(package):
    done = run_without([package], "parse", "5/minute")
    assert done.returncode == 1
    assert done.stderr == f"the command line needs {package}, which is not installed: pip install 'ratekit[cli]'\n"


def test_without_matplotlib_a_picture_is_refused_before_the_log_is_read(line, tmp_path):
    done = run_without(["matplotlib"], "replay", "no-such-file", "--limit", "5/minute", "--plot", tmp_path / "out.png")
    assert done.returncode == 2
    assert "--plot needs matplotlib, which is not installed: pip install 'ratekit[plot]'" in done.stderr


def test_a_replay_without_a_picture_needs_no_matplotlib(line):
    done = run_without(["matplotlib", "numpy"], "replay", "-", "--limit", "5/minute", stdin=line("10:00:00"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["uvicorn", "starlette", "httpx"])
def test_the_demo_says_what_it_needs(package):
    done = run_without([package], "demo")
    assert done.returncode == 2
    assert "pip install 'ratekit[demo]'" in done.stderr


@pytest.mark.parametrize("arguments", [("parse", "5/minute"), ("replay", "-", "--limit", "5/minute")])
def test_the_other_commands_need_neither_a_server_nor_redis(line, arguments):
    done = run_without(["uvicorn", "starlette", "httpx", "redis"], *arguments, stdin=line("10:00:00"))
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_edge_is_shown_without_pictures_unless_they_are_asked_for(tmp_path):
    done = run_without(["matplotlib"], "edge", "cost")
    assert done.returncode == 0, done.stderr
    assert "No pictures: " in done.stderr
    done = run_without(["matplotlib"], "edge", "cost", "--out", tmp_path)
    assert done.returncode == 2
    assert "pip install 'ratekit[plot]'" in done.stderr


def test_the_edge_needs_neither_redis_nor_httpx_nor_a_server():
    done = run_without(["redis", "httpx", "uvicorn", "starlette", "matplotlib"], "edge", "latency", "constraint", "cost")
    assert done.returncode == 0, done.stderr
    assert "Redis: skipped, its client is not installed: pip install 'ratekit[redis]'" in done.stdout
