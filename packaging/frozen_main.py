"""Where the frozen program begins: a script, because PyInstaller takes no module to run."""

import sys

from localai_app.__main__ import main

sys.exit(main())
