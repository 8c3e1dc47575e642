"""
The faults that need their time: their short forms are rows of tests/faults.
"""

import asyncio
import os

import pytest
from faults import identities, killed_clients, random_faults
from figures import Figure

SECONDS = float(os.environ.get("RATEKIT_FAULT_SECONDS", "600"))


def judge(figures: list[Figure]) -> None:
    """All that was counted, and nothing that a busy machine makes longer."""
    print("", *figures, sep="\n  ")  # noqa: T201  `pytest -s` shows what was measured
    assert [str(figure) for figure in figures if not figure.timed and not figure.met] == []


@pytest.mark.long
def test_ten_minutes_of_random_faults_leave_nothing_behind():
    judge(asyncio.run(asyncio.wait_for(random_faults.lasting_for(SECONDS, full=True), SECONDS + 600)))


@pytest.mark.long
def test_a_thousand_clients_that_were_killed_leave_nothing_behind():
    judge(asyncio.run(asyncio.wait_for(killed_clients.killed(1_000), 600)))


@pytest.mark.long
def test_a_million_identities_leave_nothing_behind():
    judge(asyncio.run(asyncio.wait_for(identities.million(True), 600)))
