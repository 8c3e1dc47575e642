"""
Tests in which the programs of others run: Cloudflare's runtime and SDK, Upstash's SDK, emulators. Only `make test-edge` has them.
"""

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
EDGE = os.environ.get("RATEKIT_EDGE", "0") == "1"
SDKS = ("cloudflare", "upstash-redis", "upstash-ratelimit", "httpx", "uvicorn")

collect_ignore_glob = [] if EDGE else ["test_*.py"]


def pytest_report_header(config):
    """The versions of what these tests run."""
    if not EDGE:
        return []
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    npm = [f"{name} {json.loads((PACKAGES / name / 'package.json').read_text())['version']}" for name in wanted]
    pypi = [f"{name} {importlib.metadata.version(name)}" for name in SDKS if _installed(name)]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return [f"from npm: {', '.join(npm)}, node {node}", f"from PyPI: {', '.join(pypi)}"]


def _installed(name):
    return any(importlib.metadata.distributions(name=name))


@pytest.fixture(scope="session")
def node_modules():
    """Where the packages of package.json are installed."""
    return PACKAGES
