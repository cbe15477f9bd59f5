"""`python -m regstudy` is the same as the command `regstudy`."""

from regstudy.cli.app import main

if __name__ == "__main__":
    main()
