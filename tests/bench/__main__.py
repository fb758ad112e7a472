"""Run all benchmarks, or those named: ``python -m tests.bench decode startup``."""

import subprocess
import sys
from pathlib import Path

ALL = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "__main__", "languages", "report", "rivals", "pull_server")
)


def main() -> int:
    """Each in a process of its own: what one loads or leaves running must not slow the next."""
    names = sys.argv[1:] or ALL
    unknown = set(names) - set(ALL)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in names
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
    ]
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
