"""
`ratekit edge`: an eventually consistent store as the home of rate limits, beside Redis. Each part is one file that finds out
(`latency`, `limiters`, `windows`, `costs`); `tables`, `pictures` and `facts` show what was found.
"""

from ratekit.cli.edge.command import edge

__all__ = ["edge"]
