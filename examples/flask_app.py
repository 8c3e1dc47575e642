"""
Flask: a limit for everybody, one for a view, one for a blueprint, none for a health check.

    gunicorn flask_app:app --chdir examples --threads 8
    curl -i http://127.0.0.1:8000/
    for i in 1 2 3 4; do curl -i -X POST http://127.0.0.1:8000/login -d user=ann; done
    for i in 1 2 3; do curl -i http://127.0.0.1:8000/reports/daily; done

All that applies to a request is one hit, charged together or not at all. With several workers give them one store:
RATEKIT_STORE=redis://localhost:6379/0; with `--worker-class gevent` it works as it does with threads.
"""

import os

from flask import Blueprint, Flask, request

from ratekit.flask import RateLimits, exempt, rate_limit

app = Flask(__name__)
RateLimits(app, "100/minute", store=os.environ.get("RATEKIT_STORE", "memory://"))
reports = rate_limit("2/minute")(Blueprint("reports", __name__, url_prefix="/reports"))


@app.get("/")
def home():
    return "hello\n"


@app.post("/login")
@rate_limit("3/minute", key=["ip", lambda request: request.native.form.get("user")])
def login():
    return f"welcome, {request.form['user']}\n"


@app.get("/health")
@exempt
def health():
    return "well\n"


@reports.get("/<name>")
def report(name):
    return f"the {name} report\n"


@app.errorhandler(429)
def slow_down(error):
    return f"slow down: {error.decision.limit} is used up\n", 429


app.register_blueprint(reports)
