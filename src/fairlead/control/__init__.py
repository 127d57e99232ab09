"""The running system: listens, logs clients in, gives them to the data plane, keeps the books.

`target` is the way in; everything else here is one of its parts.
"""
