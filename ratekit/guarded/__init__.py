"""
A remote store, guarded: a budget, a circuit, what is said instead while it is away, and what it is owed when it is back.
"""
