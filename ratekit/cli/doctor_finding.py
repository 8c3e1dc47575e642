"""
What the doctor finds, as a value.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "look", "bad", "unknown"]
"""`bad`: limits are wrong or absent. `look`: they may become so. `unknown`: this user may not see it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it is like, and what to do, in lines."""

    check: str
    level: Level
    says: str
    advice: str = ""
