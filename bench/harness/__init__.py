"""Measures fairlead beside tgt and a bare loop, on one machine, in one run, in turn."""
