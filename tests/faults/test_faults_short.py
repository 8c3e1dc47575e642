"""
Every row of the table of faults in short: one run, few clients; counts are judged, times are not.
"""

import asyncio

import pytest
import table


@pytest.mark.parametrize("row", table.ROWS, ids=lambda row: row.name)
def test_no_count_is_missed(row):
    figures = asyncio.run(asyncio.wait_for(row.measure(False), 120))
    missed = [str(figure) for figure in figures if not figure.timed and not figure.met]
    assert not missed
    assert len(figures) > 1
