"""
The long proofs share their parts with tests/faults, which is run as a program too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
