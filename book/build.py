"""Make the book: ``python book/build.py all --profile laptop``.

Steps: ``execute`` (chapters to notebooks), ``stage`` (what Sphinx reads), ``html`` (the
strict site), ``all`` (these three), ``check`` (tagged cells again, in fresh kernels),
``notebooks`` (chapters as .ipynb), ``normalise`` (the chapters' text), ``pdf``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from press.cli import main

if __name__ == "__main__":
    raise SystemExit(main(description=__doc__))
