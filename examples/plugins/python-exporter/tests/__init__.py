"""`python3 -m unittest` finds the plugin's libraries in its SDK, and the types of its world among the bindings."""

import sys
from pathlib import Path

SDK = Path(__file__).parent.parent / "sdk"
sys.path[:0] = [str(SDK), str(SDK / "bindings")]
