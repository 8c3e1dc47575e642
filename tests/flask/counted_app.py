"""
A Flask application for a real server, which is counted and limited.
"""

import os

from flask import Flask

from ratekit.flask import Counting, RateLimits

application = Flask("counted")
STORE = os.environ["RATEKIT_STORE"]
RateLimits(application, "40/hour", store=STORE, budget=10, name="counted")
Counting(application, store=STORE, name="counted", every=0.05)


@application.get("/items/<int:number>")
def item(number):
    return str(os.getpid())
