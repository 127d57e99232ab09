#!/usr/bin/env python3
"""Runs the benchmark; see README.md beside this file, and ``--help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.harness.main import main

if __name__ == "__main__":
    sys.exit(main())
