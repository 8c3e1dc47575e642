"""
That what holds keys is a namespace, to a type checker: nothing here is run.
"""

from ratekit.kv import AsyncNamespace, Namespace
from ratekit.kv.cloudflare import AsyncCloudflareKV, CloudflareKV
from ratekit.kv.simulator import World


def namespaces() -> list[Namespace]:
    return [World().namespace("n"), CloudflareKV("a", "n", token="t")]


def async_namespaces() -> list[AsyncNamespace]:
    return [World().async_namespace("n"), AsyncCloudflareKV("a", "n", token="t")]
