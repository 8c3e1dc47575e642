"""
The eventually consistent world: a namespace of keys and values that is written in one place and seen late in the others.

`namespace` is the protocol, `limits` what one call may ask for, `simulator` a world of such namespaces on one's own machine,
`prices` what it costs.
"""

from ratekit.kv.namespace import AsyncNamespace, Entry, Key, KVError, Namespace, Page

__all__ = ["AsyncNamespace", "Entry", "KVError", "Key", "Namespace", "Page"]
