#!/usr/bin/env python3
"""Measures fairness; see README.md beside this file, and ``--help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.fairness.main import main

if __name__ == "__main__":
    sys.exit(main())
