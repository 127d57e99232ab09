"""Measures what the kernel's own elevator does for clients, by who it thinks they are."""
