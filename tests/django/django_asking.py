"""
What the tests of this directory share besides fixtures.
"""

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "ratekit.django.RateLimitMiddleware",
]
BARE = MIDDLEWARE[:-1]


def statuses(client, path, times, **options):
    """The statuses of so many GETs."""
    return [client.get(path, **options).status_code for _ in range(times)]
