"""`python -m cli`: the `holdfast` command where its script is not installed."""

from cli.main import main

if __name__ == "__main__":
    main()
