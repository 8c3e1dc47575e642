"""
`python -m ratekit`: the command line.
"""

from ratekit.errors import MissingExtra


def main() -> None:
    """Run the command line; says what to install where its library is missing."""
    try:
        from ratekit.cli import app
    except MissingExtra as error:
        raise SystemExit(str(error)) from None
    app()


if __name__ == "__main__":
    main()
