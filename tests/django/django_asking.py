"""
What the tests of this directory share besides fixtures.
"""

from django_setup import MIDDLEWARE

BARE = MIDDLEWARE[:-1]


def statuses(client, path, times, **options):
    """The statuses of so many GETs."""
    return [client.get(path, **options).status_code for _ in range(times)]
