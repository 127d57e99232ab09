"""Protocol cores: bytes in, events and bytes out.

Nothing below this package opens a socket, reads a clock, draws a random number or writes a log.
Whatever a core needs from the world comes in as an argument.
"""
