#!/usr/bin/env python3
"""Measures kernel contexts; see bench/kernel-contexts/README.md, and ``--help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.kernel_contexts.main import main

if __name__ == "__main__":
    sys.exit(main())
