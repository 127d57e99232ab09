"""The management API: a running target seen and changed over a local socket, by HTTP and JSON."""
