"""
Latch: a lock for sections that take a microsecond and call nothing that waits.

It is a deque that holds one token: `pop` and `append` are atomic, and cost a quarter of what a threading.Lock does. Whoever finds it
empty gives way to the other threads and tries again. Not re-entrant, as no lock of such sections can be.
"""

import time
from collections import deque
from collections.abc import Callable


class Latch:
    """
    `take` raises IndexError while another thread is inside: then `wait` takes it. `leave(None)` ends the section.

    >>> latch = Latch()
    >>> with latch:
    ...     len([None])
    1
    """

    __slots__ = ("leave", "take")

    def __init__(self) -> None:
        token: deque[None] = deque([None], maxlen=1)
        self.take: Callable[[], None] = token.pop
        self.leave: Callable[[None], None] = token.append

    def wait(self) -> None:
        """Take it when it is free."""
        while True:
            try:
                return self.take()
            except IndexError:
                time.sleep(0)  # the other threads' turn

    def release(self) -> None:
        """Leave."""
        self.leave(None)

    acquire = wait

    def __enter__(self) -> None:
        self.wait()

    def __exit__(self, *error: object) -> None:
        self.leave(None)
