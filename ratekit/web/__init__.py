"""
What the adapters are made of, besides `http/`: the parts that are of one framework or server each.
"""
