"""
Holders: who still holds a store that is shared by its URL.
"""

import threading


class Holders:
    """
    How many hold a store; nobody can hold it again once all have let go.

    >>> holders = Holders()
    >>> holders.more(), holders.less(), holders.less(), holders.more()
    (True, False, True, False)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 1

    def more(self) -> bool:
        """One more; False when there are none left to join."""
        with self._lock:
            if self._count:
                self._count += 1
            return self._count > 0

    def less(self) -> bool:
        """One less; whether that was the last one."""
        with self._lock:
            self._count -= self._count > 0
            return self._count == 0
