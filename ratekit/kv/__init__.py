"""
The eventually consistent world: a namespace of keys and values that is written in one place and seen late in the others.

`namespace` is the protocol, `limits` what one call may ask for, `simulator` a world of such namespaces on one's own machine,
`prices` what it costs. `store` keeps limits on a namespace, degraded and honest about it; `plain` shows how not to;
`writer` is one writer per key, exact.
"""

from ratekit.kv.namespace import AsyncNamespace, Entry, Key, KVError, Namespace, Page
from ratekit.kv.plain import PlainBucketKV
from ratekit.kv.store import AsyncKVStore, KVStore
from ratekit.kv.writer import Overloaded
from ratekit.kv.writer_kv import CoalescingWriter
from ratekit.kv.writer_store import AsyncSingleWriterStore, SingleWriterStore

__all__ = [
    "AsyncKVStore",
    "AsyncNamespace",
    "AsyncSingleWriterStore",
    "CoalescingWriter",
    "Entry",
    "KVError",
    "KVStore",
    "Key",
    "Namespace",
    "Overloaded",
    "Page",
    "PlainBucketKV",
    "SingleWriterStore",
]
