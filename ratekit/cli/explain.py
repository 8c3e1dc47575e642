"""
`ratekit parse`: what the text of a limit means, or what is wrong with it.
"""

from typing import Annotated, Any

import typer
from rich.text import Text

from ratekit.cli.common import ERR, OUT, Json, plainly, print_json, printable
from ratekit.cli.meaning import facts, sentences
from ratekit.errors import ConfigurationError
from ratekit.limit import Limit

Texts = Annotated[
    list[str], typer.Argument(metavar="TEXT...", help='A limit, or several: "10/second; 1000/hour".', show_default=False)
]


def parse(texts: Texts, as_json: Json = False) -> None:
    """Say what the text of a limit means. Each argument is one text: "100/minute burst 20" needs its quotes."""
    with plainly():
        answers = [answer for text in texts for answer in _read(text)]
        if as_json:
            print_json([_json(text, limit) for text, limit in answers])
        else:
            for i, (text, limit) in enumerate(answers):
                _print(text, limit, last=i == len(answers) - 1)
        if any(isinstance(limit, ConfigurationError) for _, limit in answers):
            if len(texts) > 1 and not as_json:
                ERR.print("(each argument is one text: put a limit of several words in quotes)")
            raise typer.Exit(2)


def _read(text: str) -> list[tuple[str, Limit | ConfigurationError]]:
    answers: list[tuple[str, Limit | ConfigurationError]] = []
    for part in text.split(";"):
        try:
            answers.append((part, Limit.parse(part)))
        except ConfigurationError as error:
            answers.append((part, error))
    return answers


def _json(text: str, limit: Limit | ConfigurationError) -> dict[str, Any]:
    return {"text": text, "error": str(limit)} if isinstance(limit, ConfigurationError) else facts(limit)


def _print(text: str, limit: Limit | ConfigurationError, *, last: bool) -> None:
    if isinstance(limit, ConfigurationError):
        ERR.print(f"error: {printable(str(limit))}")
        return
    OUT.print(Text(str(limit), style="bold"))
    for what, value in sentences(limit):
        OUT.print(f"  {what:<11} {value}")
    if not last:
        OUT.print()
