"""
The guides for those who come from slowapi and fastapi-limiter: what stands on their right side does what they, and the documents of
those libraries, promise.
"""

import re
from itertools import count
from pathlib import Path

import pytest

NUMBERS = count(1)
"""Of tests: the guides' applications count in this process's memory, so each test has an address and a module of its own."""
GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def blocks(name):
    """The Python of a guide's right side, in order."""
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def after(client_of):
    """`after(guide, words)`: a client of the application in the one block that has these words; its address is the test's own."""
    number = next(NUMBERS)

    def after(guide, words):
        (block,) = [block for block in blocks(guide) if words in block]
        names = {"__name__": f"guide_{number}"}
        exec(compile(block, guide, "exec"), names)
        return names, lambda: client_of(names["app"], f"10.0.0.{number}")

    return after


def statuses(client, path, times, **options):
    return [client.get(path, **options).status_code for _ in range(times)]


def test_slowapi_five_a_minute_then_429_and_the_endpoint_does_not_run(after):
    _, client = after("slowapi", "async def home():\n    return {")
    with client() as asking:
        answers = [asking.get("/home") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].json() == {"key": "value"}
    assert "key" not in answers[5].json()


def test_slowapi_the_same_with_starlette(after):
    _, client = after("slowapi", "async def homepage(request)")
    with client() as asking:
        assert statuses(asking, "/home", 6) == [200] * 5 + [429]
        assert asking.get("/nowhere").status_code == 404


def test_slowapi_two_routes_of_one_function_name_are_two_quotas(after):
    _, client = after("slowapi", "/mars")
    with client() as asking:
        assert [statuses(asking, path, 6) for path in ("/home", "/mars")] == [[200] * 5 + [429]] * 2


def test_slowapi_a_default_limits_each_route_but_the_exempt_one(after):
    _, client = after("slowapi", "once a minute")
    with client() as asking:
        assert statuses(asking, "/home", 2) == [200, 429]
        assert statuses(asking, "/free", 5) == [200] * 5


def test_slowapi_one_quota_for_the_whole_application(after):
    _, client = after("slowapi", 'Policy("all"')
    with client() as asking:
        assert statuses(asking, "/health", 5) == [200] * 5
        assert [asking.get(path).status_code for path in ("/one", "/two", "/one", "/two")] == [200, 200, 200, 429]


def test_slowapi_several_shared_costly_and_exempt(after):
    _, client = after("slowapi", "mail = RateLimit")
    with client() as asking:

        def by(user, path, times):
            return statuses(asking, path, times, headers={"x-user": user})

        assert by("ann", "/several", 3) == [200, 200, 429]
        assert [by("ann", path, 5) for path in ("/inbox", "/outbox")] == [[200] * 5] * 2
        assert (by("ann", "/inbox", 1), by("ann", "/outbox", 1), by("bob", "/inbox", 1)) == ([429], [429], [200])
        assert [asking.get(f"/load?n={n}").status_code for n in (60, 41, 40, 1)] == [200, 429, 200, 429]
        assert statuses(asking, "/staff", 2) == [200, 429]
        assert statuses(asking, "/staff", 3, headers={"x-staff": "1"}) == [200] * 3


def test_slowapi_several_refusals_charge_nothing(after):
    _, client = after("slowapi", "mail = RateLimit")
    with client() as asking:
        refused = [asking.get("/several", headers={"x-user": "eve"}) for _ in range(9)][-1]
    assert refused.json()["violated-policies"] == ["second"]
    assert '"user";r=1' in refused.headers["ratelimit"], "nine attempts, two of three units spent"


def test_slowapi_redis_as_storage_is_a_url(after, redis_url, client_of, redis_client):
    (block,) = [block for block in blocks("slowapi") if "localhost" in block]
    names = {}
    exec(compile(block.replace("redis://localhost:6379/0", redis_url), "slowapi", "exec"), names)
    names["app"].get("/")(lambda: "hello")
    with client_of(names["app"]) as asking:
        assert asking.get("/").headers["ratelimit"] == '"default";r=99;t=60'
    assert redis_client.keys("ratekit:*")


def test_slowapi_disabled_for_tests(after, monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    _, client = after("slowapi", "async def home():\n    return {")
    with pytest.warns(UserWarning, match="RATEKIT_ENABLED switches all rate limiting off"):
        answers = statuses(client(), "/home", 9)
    assert answers == [200] * 9


def test_fastapi_limiter_two_requests_in_five_seconds_from_each_address(after, client_of):
    names, client = after("fastapi-limiter", "async def index")
    assert statuses(client(), "/", 3) == [200, 200, 429]
    assert statuses(client_of(names["app"], "10.255.255.1"), "/", 3) == [200, 200, 429]


def test_fastapi_limiter_an_identifier_several_limits_skipping_and_an_own_answer(after):
    _, client = after("fastapi-limiter", "by_user")
    asking = client()
    assert [asking.get("/user", headers={"x-user": user}).status_code for user in ("ann", "bob", "ann")] == [200, 200, 429]
    assert statuses(asking, "/multiple", 2) == [200, 429]
    assert statuses(asking, "/skip", 5) == [200] * 5
    assert re.fullmatch("slow down: [45] s", asking.get("/multiple").json()["detail"])


def test_fastapi_limiter_messages_over_a_websocket(after):
    _, client = after("fastapi-limiter", "iter_text")
    with client().websocket_connect("/ws") as talk:
        said = []
        for _ in range(3):
            talk.send_text("x")
            said.append(talk.receive_text())
    assert said == ["Hello", "Hello again", "Hello again"]


def test_fastapi_limiter_in_tests_a_dependency_is_overridden(after):
    names, client = after("fastapi-limiter", "by_user")
    names["app"].dependency_overrides[names["several"]] = lambda: None
    assert statuses(client(), "/multiple", 5) == [200] * 5


def test_the_page_on_fastapi_is_one_application_that_starts_strictly_and_does_what_it_says(client_of):
    text = (GUIDES.parent / "fastapi.md").read_text(encoding="utf-8")
    names = {"__name__": "page_on_fastapi"}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, "fastapi.md", "exec"), names)
    with client_of(names["app"], "10.0.1.1") as asking:
        assert statuses(asking, "/health", 3) == [200] * 3
        assert [asking.get(f"/items/{i}").status_code for i in range(2)] == [200] * 2
        reports = [asking.get("/tenants/a/report") for _ in range(3)]
        assert [answer.status_code for answer in reports] == [200, 200, 429]
        assert 59 < reports[2].json()["wait"] <= 60
        assert reports[0].headers["ratelimit"].count(";r=") == 4, "a policy, two limits of the router, the decorator"
        documented = asking.get("/openapi.json").json()["paths"]
    assert {path for path, item in documented.items() if "429" not in next(iter(item.values()))["responses"]} == {"/health"}
