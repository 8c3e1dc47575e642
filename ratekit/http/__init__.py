"""
HTTP without a framework: (policies, request) -> hits; (answers) -> verdict; header fields; problem bodies. Nothing in here waits.

    from ratekit.http import Headers, Response, hasher
"""

from ratekit.http.hashing import hasher
from ratekit.http.headers import Headers
from ratekit.http.owed import Response

__all__ = ["Headers", "Response", "hasher"]
