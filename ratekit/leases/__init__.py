"""
Leases: a share of a quota, taken from a store ahead of time and spent without a trip.
"""
