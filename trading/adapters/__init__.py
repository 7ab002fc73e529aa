"""The world outside the domain: the warehouse, the object store, the registry, vendors and brokers.

Pure rooms of `trading` never import from here; processes and resources put the two together.
"""
