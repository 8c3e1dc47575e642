"""
Pending: what an AsyncLimiter answers before it is awaited.

`if limiter.hit(key):` without await would admit everybody, because any object is true. This one refuses to be tested.
"""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, NoReturn, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """
    A coroutine that has no truth value. `await` it, or give it to create_task, gather, start_soon as any coroutine.
    """

    __slots__ = ("__weakref__", "coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        return self.coroutine.__await__()

    def __bool__(self) -> NoReturn:
        raise TypeError("an AsyncLimiter's answer is true or false only once it is awaited: write 'await limiter.hit(...)'")

    def send(self, value: Any) -> Any:
        """Run on, as any coroutine."""
        return self.coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside, as in any coroutine."""
        return self.coroutine.throw(*error)

    def close(self) -> None:
        """Stop, as any coroutine."""
        self.coroutine.close()

    def __getattr__(self, name: str) -> Any:
        # cr_frame, cr_running and the like: what event loops and debuggers look at.
        return getattr(self.coroutine, name)
