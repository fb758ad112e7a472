"""An engine worker that confines nothing, for comparison: ``free_engine.py --child engine CONFINEMENT``."""

import sys

from localai_app import sandbox
from localai_app.__main__ import main

sandbox.confine = lambda confinement: sandbox.NOT_CONFINED
sandbox.tighten = lambda read, *, code=False: sandbox.NOT_CONFINED
sys.exit(main())
