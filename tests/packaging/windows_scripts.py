"""The scripts of packaging/windows/, which is no package."""

import sys

from tests.packaging.scripts import ROOT, load

if str(ROOT / "packaging" / "windows") not in sys.path:
    sys.path.append(str(ROOT / "packaging" / "windows"))

wine = load("windows/wine")
make_icon = load("windows/make_icon")
make_msi = load("windows/make_msi")
cross_bundle = load("windows/cross_bundle")
