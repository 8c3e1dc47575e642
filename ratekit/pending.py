"""
Pending: what an AsyncLimiter answers before it is awaited.

`if limiter.hit(key):` without await would admit everybody, because any object is true. This one refuses to be tested.
"""

from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """
    A coroutine that has no truth value. `await` it, or give it to create_task, gather, start_soon as any coroutine.
    """

    # The coroutine's own `__await__` in a slot of that name: `await` finds and calls it without a frame of ours.
    __slots__ = ("__await__", "__weakref__")
    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, T]: ...

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.__await__ = coroutine.__await__  # type: ignore[method-assign]

    @property
    def coroutine(self) -> Any:
        """What is awaited."""
        return self.__await__.__self__  # type: ignore[attr-defined]

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
