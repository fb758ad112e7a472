"""The real command line whose reader takes its time: ``indexing_app.py SECONDS-A-PAGE docs add …``."""

import sys
import time

from localai_app.documents import reader_process, recognition

seconds = float(sys.argv.pop(1))
read = reader_process.read


def read_slowly(data, job, *, stop=None):
    for answer in read(data, job, stop=stop):
        time.sleep(seconds)
        yield answer


reader_process.read = read_slowly
recognition.available = lambda: False

from localai_app.__main__ import main  # noqa: E402 - what it builds must find the slow one

sys.exit(main())
