"""`python study.py --space svhn_resnet --trials 50`: the same as `regstudy study …`."""

import sys

from regstudy.cli.app import main

if __name__ == "__main__":
    main(["study", *sys.argv[1:]])
