"""`python -m watcher`: the command line."""

import sys

from watcher.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
