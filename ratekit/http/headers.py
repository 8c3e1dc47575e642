"""
Headers: how the limits are told to clients. Which of the forms that the RateLimit fields have had, and what goes with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from ratekit.errors import ConfigurationError
from ratekit.http.forms import FORMS

MOST_JITTER: Final = 3600
"""Seconds."""


def wall_clock() -> float:
    """Seconds since 1970. It decides nothing: X-RateLimit-Reset is an instant by the calendar."""
    return datetime.now(UTC).timestamp()


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Headers:
    """
    What a response says of limits: `forms` are names of `ratekit.http.forms.FORMS`, by default the newest draft's fields.

    `retry_jitter` is the seconds, up to 3600, by which a Retry-After may be later than need be, drawn for each refusal, so that those
    who were refused together do not come back together. `partition_key` tells each client by a hash whose quota it is (the `pk`
    parameter of draft 8 and later). `clock` gives the seconds since 1970 that X-RateLimit-Reset is counted from. Raises
    ConfigurationError for what cannot be.

    >>> Headers("draft-11", "x-ratelimit", retry_jitter=5).forms
    ('draft-11', 'x-ratelimit')
    """

    forms: tuple[str, ...]
    retry_jitter: int
    partition_key: bool
    clock: Callable[[], float]

    def __init__(
        self,
        *forms: str,
        retry_jitter: int = 0,
        partition_key: bool = False,
        clock: Callable[[], float] = wall_clock,
    ) -> None:
        forms = forms or (NEWEST,)
        unknown = [form for form in forms if form not in FORMS]
        if unknown:
            raise ConfigurationError(f"headers {unknown[0]!r}: the forms are {', '.join(FORMS)}")
        fields = [field for form in forms for field in FORMS[form].fields]
        if len(set(fields)) < len(fields):
            raise ConfigurationError(f"headers {forms!r} would send one field twice: choose one draft, and 'x-ratelimit' beside it")
        if type(retry_jitter) is not int or not 0 <= retry_jitter <= MOST_JITTER:
            raise ConfigurationError(f"retry_jitter {retry_jitter!r}: write whole seconds from 0 to {MOST_JITTER}")
        for name, value in zip(self.__slots__, (forms, retry_jitter, bool(partition_key), clock), strict=True):
            object.__setattr__(self, name, value)


NEWEST: Final = "draft-11"
DEFAULT: Final = Headers()
"""What is told where nothing else is asked for."""


def headers_of(given: str | Sequence[str] | Headers) -> Headers:
    """Headers as an adapter is given them: the name of a form, a list of them, or a Headers."""
    if isinstance(given, Headers):
        return given
    forms = (given,) if isinstance(given, str) else given
    if not isinstance(forms, Sequence) or not forms or not all(isinstance(form, str) for form in forms):
        raise ConfigurationError(f"headers {given!r}: write one of {', '.join(FORMS)}, a list of them, or a Headers")
    return _of_forms(tuple(forms))


@lru_cache(maxsize=64)
def _of_forms(forms: tuple[str, ...]) -> Headers:
    return DEFAULT if forms == DEFAULT.forms else Headers(*forms)
