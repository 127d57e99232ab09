"""Who gets what beside whom, over real sockets: see README.md beside this file."""
