"""
Spellings of requests that try to slip past a policy, for every framework.
"""

# Requests as they go over the wire, meant to slip past a policy or to be taken for another one.
SPELLINGS = [
    "GET /login", "POST /login", "post /login", "Post /login", "POST /LOGIN", "POST /Login", "POST /login/", "POST //login",
    "POST /login//", "POST /./login", "POST /login/.", "POST /x/../login", "POST /login/..", "POST /%6Cogin", "POST /%6cogin",
    "POST /%256Cogin", "POST /login%2F", "POST %2Flogin", "POST /%2Flogin", "POST /login%00", "POST /login%0A", "POST /login%0D%0A",
    "POST /login%0D", "POST /login%0A%0A", "POST /login%20", "POST /%20login", "POST /login%09", "POST /login?", "POST /login?x=/y",
    "POST /login%3F", "POST /login%23", "POST /login;x", "POST /login;", "POST /login%3Bx", "POST /login%C2%A0", "POST /login%FF", "POST /l%C3%B6gin",
    "POST /log%69n%0a", "POST http://test/login", "POST //test/login", "POST /login\\", "POST /\\login", "POST /login/%2e%2e/login",
    "POST /login%E2%80%8B", "POST /\uff4cogin", "HEAD /login", "OPTIONS /login", "TRACE /login", "FOO /login", "POST /items/5", "POST /items/5%0A",
    "POST /items/%2F", "POST /items/", "POST /items/5%2Fx", "POST /items/..", "POST /items/%0A", "POST /items/5/", "PUT /items/5",
    "GET /page", "HEAD /page", "head /page", "GET /page%0A", "GET /sub/in", "GET /sub%2Fin", "GET /sub/in%0A", "GET /sub//in", "GET /sub", "GET /sub/",
    "GET /sub/x/../in", "GET /SUB/in", "POST /class", "pOST /class", "POST /class%0A", "GET /class", "HEAD /class",
]  # fmt: skip

ROUTED = {"login": "POST /login", "item": "POST /items/*", "page": "GET /page", "in": "/sub/*"}
"""Per endpoint, the policy that is to have counted a request which reached it."""


def slipped(port, raw, parsed):
    """The spellings that reached an endpoint uncounted, and the endpoints that were reached; an answer says which it is from."""
    reached, missed = set(), []
    for spelling in SPELLINGS:
        _, headers, _ = raw(port, f"{spelling.encode().decode('latin-1')} HTTP/1.1")
        endpoint = headers.get("x-endpoint")
        if endpoint is not None:
            reached.add(endpoint)
            if endpoint not in [name for name, _ in parsed(headers.get("ratelimit-policy", ""))]:
                missed.append(spelling)
    return missed, reached
