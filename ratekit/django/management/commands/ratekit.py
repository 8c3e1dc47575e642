"""
`manage.py ratekit peek|reset|routes`: what the project's store holds of one client, by the project's own policies, and which view has
which limits.

    manage.py ratekit peek 192.0.2.1
    manage.py ratekit peek 42 --policy daily --json
    manage.py ratekit reset 192.0.2.1 --policy admin-login
    manage.py ratekit routes

Several words are the parts of one identity: `peek ip 192.0.2.1` is the address of somebody whom the policy's key did not know.
"""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError
from django.urls import get_resolver

from ratekit.algorithms import LOOK
from ratekit.decision import Decision
from ratekit.django.decorator import DECORATED
from ratekit.django.routes import report_on
from ratekit.django.settings import Settings, current
from ratekit.errors import ConfigurationError, StoreError
from ratekit.keys import network_of
from ratekit.policy import Policy
from ratekit.stores.naming import Canonical, Plan, canonical, plan_of
from ratekit.stores.protocol import hit
from ratekit.stores.url import open_store


class Known(NamedTuple):
    """A policy of this project: the name that it is asked for by, whose key it has, and where it counts."""

    name: str
    policy: Policy
    plan: Plan


class Command(BaseCommand):
    """Look at, and forget, what a client has spent; see what limits what."""

    help = "Look at, or forget, what a client has spent of this project's limits; or list the limits of every view."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The two commands and their options."""
        parser.add_argument("action", choices=["peek", "reset", "routes"])
        parser.add_argument("key", nargs="*", help="Who: the identity as it is counted; several words are its parts.")
        parser.add_argument("--policy", help="Of one policy only: its name, or the qualified name of a decorated view.")
        parser.add_argument("--json", action="store_true", help="Print the facts as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        if options["action"] == "routes":
            self._routes(options["json"])
            return
        if not options["key"]:
            raise CommandError("say who: an address, a user's primary key, or what else a policy counts by")
        try:
            known = self._known(options["policy"])
            facts = self._ask(options["action"], options["key"], known)
        except (ConfigurationError, StoreError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2))
            return
        for fact in facts:
            self.stdout.write("  ".join(f"{name} {value}" for name, value in fact.items()))

    def _routes(self, as_json: bool) -> None:
        try:
            report = report_on(current())
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        rows = [(str(endpoint), [*map(str, held)]) for endpoint, held in report.rows]
        findings = [finding.text for finding in report.findings]
        if as_json:
            routes = [{"route": route, "limits": limits} for route, limits in rows]
            self.stdout.write(json.dumps({"routes": routes, "findings": findings}, indent=2))
            return
        for route, limits in rows:
            self.stdout.write("  ".join([route, *(limits or ["no limit"])]))
        for text in findings:
            self.stdout.write(f"! {text}")

    def _known(self, wanted: str | None) -> list[Known]:
        known = list(policies_of(current()))
        if wanted is None:
            return known
        found = [one for one in known if wanted in (one.name, one.policy.name)]
        if not found:
            names = ", ".join(one.name for one in known) or "none at all"
            raise ConfigurationError(f"no policy is named {wanted!r}; there are {names}")
        return found

    def _ask(self, action: str, words: list[str], known: list[Known]) -> list[dict[str, Any]]:
        url = current().store
        if not isinstance(url, str) or url.startswith("memory:"):
            raise ConfigurationError(
                f"manage.py ratekit cannot see the store {url!r}, which is inside each process of the server: set RATEKIT['STORE'] "
                "to one that is shared, such as 'redis://localhost:6379/0'"
            )
        store = open_store(url)
        try:
            facts = []
            for name, policy, plan in known:
                who = _identity(words, policy)
                if action == "reset":
                    store.forget([space for _, space in plan], who)
                    facts.append({"policy": name, "reset": "; ".join(map(str, policy.limits))})
                else:
                    decision = hit(store, plan, who, 1, LOOK)
                    facts += [{"policy": name, **_facts(part)} for part in decision.details]
            return facts
        finally:
            store.close()


def policies_of(settings: Settings) -> Iterator[Known]:
    """Every policy of a project, as far as it is known before a request: of its settings, and of its views."""
    name, prefix = settings.rest["name"], settings.rest["prefix"]
    if settings.limits is not None:
        alone = Policy("default", settings.limits)
        yield Known("default", alone, plan_of(alone.limits, prefix=prefix, name=name))
    shared = [*(settings.policies or ()), *settings.view_policies.values(), *settings.admin_login]
    for policy in {policy.name: policy for policy in shared}.values():
        yield Known(policy.name, policy, plan_of(policy.limits, prefix=prefix, name=name, policy=policy.name))
    get_resolver().url_patterns  # noqa: B018 - views are decorated when they are imported
    for limited in DECORATED:
        for view, label in limited.views.items() if limited.plain else ():
            for policy in limited.policies(settings, label):
                space = {"name": name, **limited.namespace(view)}["name"]
                yield Known(view, policy, plan_of(policy.limits, prefix=prefix, name=space, policy=policy.name))


def _identity(words: list[str], policy: Policy) -> Canonical:
    if len(words) > 1:
        return canonical((*words[:-1], network_of(words[-1])) if words[0] == "ip" else tuple(words))
    return canonical(network_of(words[0]) if policy.key == "ip" else words[0])


def _facts(decision: Decision) -> dict[str, Any]:
    return {
        "limit": str(decision.limit),
        "allowed": decision.allowed,
        "remaining": decision.remaining,
        "retry_after": round(decision.retry_after, 3),
        "more_after": round(decision.more_after, 3),
        "reset_after": round(decision.reset_after, 3),
    }
