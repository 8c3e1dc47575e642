"""
The doctor at an Upstash database: whether it answers and runs the script. What it keeps its owner sees in Upstash's console.
"""

from ratekit.cli.doctor_finding import Finding
from ratekit.cli.doctor_redis import script


def examined(url: str, prefix: str) -> list[Finding]:
    """All that can be seen over HTTPS."""
    found = script(url, prefix)
    advice = "In Upstash's console: Eviction has to be off, else clients are forgiven when the database is full."
    if found.level == "bad":
        return [found]
    return [
        Finding("script", "good", "answers, and runs for every algorithm"),
        Finding("eviction", "unknown", "not to be seen over the REST API", advice),
    ]
