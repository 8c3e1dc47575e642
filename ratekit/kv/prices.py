"""
Prices: what a month on Workers KV and on Upstash costs.
"""

from typing import Final

NANODOLLARS: Final = {"read": 500, "write": 5_000, "delete": 5_000, "list": 5_000}
"""Of one KV operation, in billionths of a US dollar: $0.50 a million reads, $5.00 a million of the others."""
