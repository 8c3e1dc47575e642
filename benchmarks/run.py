"""
Run the benchmarks and say which goals are met.

    python benchmarks/run.py                        every row; writes docs/performance.md and docs/performance.png
    python benchmarks/run.py memory redis_sync      the rows of some modules
    python benchmarks/run.py "256 tasks" uvicorn    the rows whose names contain one of these words
    python benchmarks/run.py --list                 the names
    python benchmarks/run.py --quick ...            every row in short, nothing is judged: does it work?
    python benchmarks/run.py --save FILE ...        the raw numbers as JSON
    python benchmarks/run.py --write FILE DIR       docs from raw numbers
"""

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
import time
from pathlib import Path
from typing import Any

import machine
import report
from measure import Row, measure

HERE = Path(__file__).parent
MODULES = (
    "memory",
    "redis_async",
    "redis_sync",
    "scripts",
    "trips",
    "asgi",
    "uvicorn_wrk",
    "connections",
    "counters",
    "metrics_on",
    "leases",
    "cluster",
    "django_web",
)

# Rows, by words in their names, and what of ratekit they wait for: a name, and an argument that it takes. Until it is there they
# are listed as not built yet.
AWAITED = {
    "local refusal": ("ratekit:Limiter", "deny_cache"),
    "all refused, Redis": ("ratekit.asgi:RateLimitMiddleware", "deny_cache"),
    "hit_many": ("ratekit:AsyncLimiter.hit_many", ""),
}


def rows(url: str) -> dict[str, list[Row]]:
    """Every row, by module."""
    return {name: importlib.import_module(name).rows(url) for name in MODULES}


def chosen(words: list[str], table: dict[str, list[Row]]) -> list[Row]:
    """The rows that these words mean; all for none. A word that means nothing ends the run."""
    everything = [row for found in table.values() for row in found]
    if not words:
        return everything
    picked: list[Row] = []
    for word in words:
        meant = table.get(word) or [row for row in everything if word in row.name]
        if not meant:
            raise SystemExit(f"{word!r} is no module ({', '.join(table)}) and in no row's name; --list shows them")
        picked += [row for row in meant if row not in picked]
    return picked


def not_built(row: Row) -> str:
    """Why there is nothing to measure yet; empty when there is."""
    for words, (name, argument) in AWAITED.items():
        if words in row.name:
            try:
                part = pkgutil.resolve_name(name)
            except (ImportError, AttributeError):
                return f"not built yet: {name}"
            if argument and argument not in inspect.signature(part).parameters:
                return f"not built yet: {name}({argument}=)"
    return ""


def run(row: Row, server: machine.RedisServer, scale: float, rounds: int | None) -> dict[str, Any]:
    """What one row came to, as it is saved; a row that fails is shown as failed, and the others go on."""
    skip = row.skip or not_built(row)
    if skip:
        return report.record(row, {}, skipped=skip)
    server.prepare(row.server_core)
    start = time.monotonic()
    try:
        samples = measure(row, scale, rounds)
        return {**report.record(row, samples, judged=rounds is None), "seconds": time.monotonic() - start}
    except RuntimeError as error:
        return report.record(row, {}, failed=str(error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, nargs=2, metavar=("FILE", "DIR"))
    options = parser.parse_args()
    if options.write:
        report.write(json.loads(options.write[0].read_text()), options.write[1])
        return 0
    if options.list:
        for module, found in rows("").items():
            print(module, *(f"    {row.name}" for row in found), sep="\n")
        return 0
    scale, rounds = (0.02, 1) if options.quick else (1.0, None)
    start, done = time.monotonic(), []
    with machine.RedisServer() as server:
        for row in chosen(options.rows, rows(server.url)):
            done.append(run(row, server, scale, rounds))
            print("\n".join(report.lines(done[-1])), flush=True)
        facts = {"machine": machine.machine(), "redis-server": server.version(), "versions": machine.versions()}
    print(f"{len(done)} rows in {time.monotonic() - start:.0f} s")
    results = {**facts, "rows": done}
    complete = not options.rows and not options.quick
    if options.save or complete:
        (options.save or HERE / "results.json").write_text(json.dumps(results, indent=1))
    if complete:
        report.write(results, HERE.parent / "docs")
    return any("failed" in row for row in done)


if __name__ == "__main__":
    sys.exit(main())
