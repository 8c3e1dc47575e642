"""
The eventually consistent world: a namespace of keys and values that is written in one place and seen late in the others.

`namespace` is the protocol.
"""

from ratekit.kv.namespace import AsyncNamespace, Entry, Key, KVError, Namespace, Page

__all__ = ["AsyncNamespace", "Entry", "KVError", "Key", "Namespace", "Page"]
