"""
Which limits a request to a Flask application meets: the application's, a blueprint's, a view's, the default, none.
"""

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView, View
from flask_apps import app_of, ask, statuses, told

from ratekit import ConfigurationError, Limit, Policy
from ratekit.flask import RateLimits, exempt, rate_limit


def test_the_applications_limit_is_one_quota_for_all_its_requests():
    app = app_of("3/minute")
    app.add_url_rule("/", "home", lambda: "hello")
    app.add_url_rule("/items", "items", lambda: ["one"])
    assert [ask(app, path).status_code for path in ("GET /", "GET /items", "GET /nowhere", "GET /")] == [200, 200, 404, 429]
    assert ask(app, client="192.0.2.2").status_code == 200


def test_a_default_is_for_each_view_by_itself_and_not_for_what_no_route_matches():
    app = app_of(default="1/minute")
    app.add_url_rule("/", "home", lambda: "hello")
    app.add_url_rule("/items", "items", lambda: ["one"])
    assert statuses(app, "GET /") == [200, 429, 429]
    assert statuses(app, "GET /items") == [200, 429, 429]
    assert statuses(app, "GET /nowhere") == [404] * 3
    assert told(ask(app, "GET /nowhere")) == {}


def test_a_views_own_limit_takes_the_place_of_the_default():
    app = app_of(default="9/minute")

    @app.get("/report")
    @rate_limit("1/minute")
    def report():
        return "a long report"

    assert statuses(app, "GET /report") == [200, 429, 429]
    assert told(ask(app, "GET /report"), "ratelimit-policy") == {"report": {"q": 1, "w": 60}}


@pytest.mark.parametrize("order", ["below the route", "above the route"])
def test_it_does_not_matter_on_which_side_of_the_route_a_limit_stands(order):
    app = app_of()

    def report():
        return "a long report"

    if order == "below the route":
        app.get("/report")(rate_limit("1/minute")(report))
    else:
        rate_limit("1/minute")(app.get("/report")(report))
    assert statuses(app, "GET /report") == [200, 429, 429]


def test_stacked_limits_are_one_hit_and_a_refused_request_is_charged_by_none():
    app = app_of("9/minute")

    @app.get("/report")
    @rate_limit("1/minute")
    @rate_limit("5/hour", key="header:x-api-key")
    def report():
        return "a long report"

    answers = [ask(app, "GET /report", headers={"x-api-key": "ann"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429]
    assert {name: item["r"] for name, item in told(answers[3]).items()} == {"default": 8, "report": 4, "report-2": 0}
    assert answers[3].get_json()["violated-policies"] == ["report-2"]


def test_a_route_is_one_scope_whatever_its_parameters_say():
    app = app_of(default="2/minute")
    app.add_url_rule("/items/<int:number>", "item", lambda number: f"item {number}")
    assert [ask(app, f"GET /items/{number}").status_code for number in (1, 2, 3)] == [200, 200, 429]


def test_a_name_shares_a_limit_between_views():
    app = app_of()
    uploads = rate_limit("2/minute", name="uploads")
    app.add_url_rule("/photos", "photos", uploads(lambda: "photo"))
    app.add_url_rule("/films", "films", uploads(lambda: "film"))
    assert [ask(app, path).status_code for path in ("GET /photos", "GET /films", "GET /photos", "GET /films")] == [
        200,
        200,
        429,
        429,
    ]


def test_methods_that_are_named_count_and_others_meet_the_default():
    app = app_of(default="2/minute")

    @app.route("/items", methods=["GET", "POST"])
    @rate_limit("1/minute", methods=["post"])
    def items():
        return request.method

    assert statuses(app, "POST /items") == [200, 429, 429]
    assert [ask(app, what).status_code for what in ("GET /items", "HEAD /items", "GET /items")] == [200, 200, 429]


def test_a_limit_on_get_is_a_limit_on_head():
    app = app_of()
    app.add_url_rule("/", "home", rate_limit("1/minute", methods="GET")(lambda: "hello"))
    assert [ask(app, what).status_code for what in ("HEAD /", "GET /", "OPTIONS /")] == [200, 429, 200]


def test_a_blueprints_limit_is_for_each_of_its_views_also_for_those_added_later():
    blog = rate_limit("2/minute")(Blueprint("blog", "blog", url_prefix="/blog"))
    app = app_of()
    blog.add_url_rule("/", "index", lambda: "all")
    blog.add_url_rule("/first", "first", rate_limit("1/minute")(lambda: "first"))
    app.register_blueprint(blog)
    app.add_url_rule("/", "home", lambda: "hello")
    assert statuses(app, "GET /blog/") == [200, 200, 429]
    assert statuses(app, "GET /blog/first") == [200, 429, 429]
    assert {name: item["r"] for name, item in told(ask(app, "GET /blog/first")).items()} == {"blog.first@blog": 1, "blog.first": 0}
    assert told(ask(app, "GET /")) == {}


def test_blueprints_in_blueprints_have_the_limits_of_both():
    outer = rate_limit("3/minute")(Blueprint("outer", "outer", url_prefix="/outer"))
    inner = rate_limit("1/minute")(Blueprint("inner", "inner", url_prefix="/inner"))
    inner.add_url_rule("/", "index", lambda: "inner")
    outer.register_blueprint(inner)
    outer.add_url_rule("/", "index", lambda: "outer")
    app = app_of()
    app.register_blueprint(outer)
    assert statuses(app, "GET /outer/inner/", 2) == [200, 429]
    assert statuses(app, "GET /outer/", 4) == [200, 200, 200, 429]
    assert set(told(ask(app, "GET /outer/inner/"))) == {"outer.inner.index@outer", "outer.inner.index@outer.inner"}


def test_what_is_exempt_meets_no_limit_at_all():
    pages = exempt(Blueprint("pages", "pages", url_prefix="/pages"))
    pages.add_url_rule("/", "index", lambda: "pages")
    app = app_of("1/minute", default="1/minute")
    app.register_blueprint(pages)
    app.get("/health")(exempt(lambda: "well"))
    assert statuses(app, "GET /health") == statuses(app, "GET /pages/") == [200, 200, 200]
    assert told(ask(app, "GET /health")) == {}


def test_a_class_of_views_is_limited_as_a_whole_and_by_method():
    @rate_limit("3/minute")
    class Items(MethodView):
        def get(self):
            return "all"

        @rate_limit("1/minute")
        def post(self):
            return "made", 201

    class More(Items):
        pass

    app = app_of()
    app.add_url_rule("/items", view_func=Items.as_view("items"))
    app.add_url_rule("/more", view_func=More.as_view("more"))
    assert statuses(app, "POST /items", 2) == [201, 429]
    assert statuses(app, "GET /items", 3) == [200, 200, 429]
    assert statuses(app, "GET /more", 4) == [200, 200, 200, 429]


def test_a_class_of_views_is_limited_by_its_decorators():
    class Page(View):
        decorators = (rate_limit("1/minute"),)

        def dispatch_request(self):
            return "page"

    app = app_of()
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    assert statuses(app, "GET /page") == [200, 429, 429]


def test_a_view_behind_a_decorator_that_hides_its_limits_asks_by_itself():
    def forgetful(view):
        def asked():
            return view()

        return asked

    app = app_of("9/minute")

    @rate_limit("1/minute")
    def report():
        return "a long report"

    app.add_url_rule("/report", "hidden", forgetful(report))
    assert statuses(app, "GET /report") == [200, 429, 429]
    assert set(told(ask(app, "GET /report"))) == {"default", "report"}


def test_a_view_that_another_view_calls_is_limited_too():
    app = app_of()

    @rate_limit("1/minute")
    def inner():
        return "inner"

    app.add_url_rule("/inner", view_func=inner)
    app.add_url_rule("/outer", "outer", lambda: f"around {inner()}")
    assert statuses(app, "GET /outer") == [200, 429, 429]


def test_outside_a_request_a_limited_view_is_a_function():
    assert [rate_limit("1/minute")(lambda: "hello")() for _ in range(3)] == ["hello"] * 3


def test_a_limited_view_without_the_extension_says_what_is_missing():
    app = Flask("bare")
    app.get("/")(rate_limit("1/minute")(lambda: "hello"))
    app.testing = True
    with pytest.raises(ConfigurationError, match=r"RateLimits\(app\)"):
        ask(app)


def test_policies_are_keyed_by_flasks_own_request():
    policy = Policy("daily", "1/day", key=lambda request: request.native.authorization.username, missing="refuse")
    app = app_of()
    app.get("/")(rate_limit(policy)(lambda: "hello"))
    assert [ask(app, auth=(who, "secret")).status_code for who in ("ann", "ann", "bob")] == [200, 429, 200]


def test_a_cost_may_depend_on_the_request():
    app = app_of()
    app.get("/")(rate_limit("10/minute", cost=lambda request: int(request.query["pages"]))(lambda: "pages"))
    assert [ask(app, f"GET /?pages={pages}").status_code for pages in (7, 4, 3, 0)] == [200, 429, 200, 200]


def test_static_files_meet_the_applications_limits_and_no_default(tmp_path):
    (tmp_path / "style.css").write_text("p {}")
    app = Flask("shop", static_folder=str(tmp_path), static_url_path="/static")
    RateLimits(app, "3/minute", default="1/minute", name="static", store="memory://")
    assert statuses(app, "GET /static/style.css", 4) == [200, 200, 200, 429]


def test_one_extension_serves_several_applications_each_by_itself():
    limits = RateLimits(default="1/minute", name="each")
    apps = []
    for name in ("one", "other"):
        app = Flask(name)
        app.config["RATEKIT_PREFIX"] = name
        app.add_url_rule("/", "home", lambda: "hello")
        limits.init_app(app)
        apps.append(app)
    assert [statuses(app) for app in apps] == [[200, 429, 429]] * 2


def test_the_config_of_an_application_says_what_is_not_given_in_code():
    config = {"RATEKIT_LIMITS": "1/minute", "RATEKIT_DEFAULT": [Limit(5, per=60)], "RATEKIT_NAME": "configured"}
    app = app_of(config=config)
    app.add_url_rule("/", "home", lambda: "hello")
    assert statuses(app) == [200, 429, 429]
    assert set(told(ask(app))) == {"default", "home@default"}


def test_an_application_can_be_left_alone():
    app = app_of("1/minute", config={"RATEKIT_ENABLED": False})
    app.get("/")(rate_limit("1/minute")(lambda: "hello"))
    assert statuses(app) == [200] * 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: app_of("5/month"), "month"),
        (lambda: app_of("5/minute", policies=[]), "both given"),
        (lambda: app_of(default="often"), "often"),
        (lambda: app_of(unlimited="pages"), "match"),
        (lambda: app_of(config={"RATEKIT_STROE": "redis://x"}), "RATEKIT_STROE.*RATEKIT_STORE"),
        (lambda: RateLimits("1/minute"), "write RateLimits"),
        (lambda: RateLimits(app_of()), "already"),
        (rate_limit, "write limits"),
        (lambda: rate_limit("1/minute", Policy("one", "1/minute")), "one of the two"),
        (lambda: rate_limit(Policy("one", "1/minute"), key="header:x"), "says by itself"),
        (lambda: rate_limit("1/minute", key="user"), "key"),
        (lambda: rate_limit("1/minute")("view"), "put it on a view"),
        (lambda: rate_limit("1/minute")(exempt(lambda: "")), "choose one"),
        (lambda: exempt(rate_limit("1/minute")(lambda: "")), "choose one"),
    ],
)
def test_what_cannot_be_is_said_where_it_is_written(make, says):
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_two_limits_of_one_name_on_one_request_are_an_error_that_says_so(caplog):
    app = app_of(policies=[Policy("login", "9/minute")])
    app.get("/")(rate_limit("1/minute", name="login")(lambda: "hello"))
    assert statuses(app) == [500] * 3
    (error,) = [record.getMessage() for record in caplog.records if record.name == "ratekit"]
    assert "are named 'login': rename one" in error
