"""`python -m protoexplain_app` is `protoexplain app`."""

import sys

from protoexplain.cli.main import main

sys.argv.insert(1, "app")
main()
