"""The benchmarks are no package that is installed: they run in the root of the checkout."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # last, so that nothing installed is hid
