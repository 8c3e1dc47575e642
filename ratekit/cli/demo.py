"""
`ratekit demo`.
"""


def demo() -> None:
    """Not here yet."""
