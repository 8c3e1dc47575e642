"""
The README's table of adapters: all of them, and about as many lines as it says.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAPTERS = {
    "ratekit.asgi": ["asgi.py", "web/asgi_telling.py", "web/asgi_charge.py", "web/asgi_routes.py"],
    "ratekit.fastapi": ["fastapi.py"],
    "ratekit.wsgi": ["wsgi.py", "web/wsgi_calls.py"],
    "ratekit.flask": ["flask"],
    "ratekit.django": ["django"],
    "ratekit.drf": ["drf.py"],
    "ratekit": ["decorators.py"],
}


def lines_of(name: str) -> int:
    path = ROOT / "ratekit" / name
    return sum(len(file.read_text("utf-8").splitlines()) for file in ([path] if path.is_file() else path.rglob("*.py")))


@pytest.mark.parametrize("module", ADAPTERS)
def test_the_table_says_about_how_many_lines_an_adapter_has(module):
    said = re.search(rf"^\|[^|]+\| ([\d,]+) \| `{re.escape(module)}` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert said is not None, module
    assert int(said[1].replace(",", "")) == pytest.approx(sum(map(lines_of, ADAPTERS[module])), rel=0.1)


def test_every_page_of_the_docs_is_found_from_the_readme():
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts}
    assert pages <= set(re.findall(r"\((docs/[^)#]+)\)", (ROOT / "README.md").read_text("utf-8")))
