"""
Run the faults and say which figures are met.

    python tests/faults/run.py                      every row, three runs each (the longest rows one); all runs have to pass
    python tests/faults/run.py killed hung          some rows
    python tests/faults/run.py --runs 1 killed      one run
    python tests/faults/run.py --short              every row in short: counts are judged, times are not
    python tests/faults/run.py --markdown           the table of docs/reliability.md after it
    python tests/faults/run.py --list               the names

RATEKIT_FAULT_SECONDS=3600 python tests/faults/run.py random      an hour of random faults instead of a minute
"""

import argparse
import asyncio
import os
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import figures  # noqa: E402  after the path
import table  # noqa: E402

MOST = 400 + float(os.environ.get("RATEKIT_FAULT_SECONDS", "0"))
"""Seconds that a run may take."""


def say(*lines: str) -> None:
    """Lines of the report, at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def run_row(row: figures.Row, runs: int, full: bool) -> list[list[figures.Figure]]:
    """The figures of each run, printed as they come."""
    say(f"{row.name}: {row.fault}", f"  asked: {row.asked}")
    done = []
    for number in range(1, runs + 1):
        began = time.monotonic()
        try:
            found = asyncio.run(asyncio.wait_for(row.measure(full), MOST))
        except Exception:  # one row that cannot be run is shown as such, and the others go on
            traceback.print_exc()
            found = [figures.count("runs that could not be made", 1)]
        done.append(found)
        say(f"  run {number}, {time.monotonic() - began:.0f} s", *(f"    {figure}" for figure in found))
    return done


def passed(runs: list[list[figures.Figure]], full: bool) -> bool:
    """Whether every figure of every run is met; in short, every one that no busy machine can spoil."""
    return all(figure.met or (figure.timed and not full) for run in runs for figure in run)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    names = [row.name for row in table.ROWS]
    if unknown := set(options.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.list:
        say(*(f"{row.name:16} {row.fault}" for row in table.ROWS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers go, too
    full = not options.short
    chosen = [row for row in table.ROWS if not options.rows or row.name in options.rows]
    results = [(row, run_row(row, (options.runs or row.runs) if full else 1, full)) for row in chosen]
    verdicts = {row.name: passed(runs, full) for row, runs in results}
    say("", *(f"{name}: {'met' if verdict else 'MISSED'}" for name, verdict in verdicts.items()))
    if options.markdown:
        say("", figures.markdown(results))
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
