"""
A server with the budget that its users have, on a machine that may be slower: what it answered counts once its store was in time.
"""

import time

BUDGET = 0.05
"""Seconds: whoever waited as long for the store was decided on by the process alone, as promised."""


def in_time(ask, forget):
    """The answers of one go of `ask` that waited for no store; before another go `forget` empties the store."""
    for _ in range(10):
        answers = ask()
        if all(answer.elapsed.total_seconds() < BUDGET for answer in answers):
            return answers
        time.sleep(1)  # the store is asked again, and has been told what was decided without it
        forget()
    raise AssertionError("this machine takes longer than the budget each time")
