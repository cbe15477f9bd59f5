"""`python -m regstudy` is the same as the command `regstudy`."""

from regstudy.cli import main

if __name__ == "__main__":
    main()
