"""`python -m pipeline` is `edgeproof`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
