"""What an operator has custodians do: open a silent institution's book, and pass their shares on.

`operator open` and `operator reshare` ask for it, `operator openings` and `operator resharings` show how far it is.

The commands need the token in the operator's folder, or a key of the staff with the scope.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.operator_lists import DEFAULT_OPERATOR, TOKEN_FILE, Address, Directory, ask
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.cli.tables import AsJson, Sections, Watch, show
from atomic_margin.service.http.tokens import read_token


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="open")(open_book)
    app.command()(openings)
    app.command()(reshare)
    app.command()(resharings)


def open_book(
    institution: Annotated[str, typer.Argument(metavar="INSTITUTION", help="Its name here.")],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Ask custodians to open the book of an account whose time to answer is over.

        atomic-margin operator open fund --dir operator-data

    What they find ends the run like an answer: covered, or with a breach that is settled. An answer of the institution
    that comes before wins. Each custodian checks for itself that the run is owed; `operator openings` shows how far
    they are, and why one refuses. Before the policy's time is over nothing is asked: custodians would refuse, and one
    of the few openings would be lost. Then `not_before` in the problem document says from when to ask.

    Exit status 0: asked for. 1: refused, the problem document is printed. 2: nobody answered.
    """
    with plain_errors():
        _post("open", "openings", directory, operator, {"institution": institution})


def openings(
    directory: Directory, as_json: AsJson = False, watch: Watch = None, operator: Address = DEFAULT_OPERATOR
) -> None:
    """Show the openings that were asked for, the newest first: who computes, who signed, who refuses.

        atomic-margin operator openings --dir operator-data

    Accused is whose signed shares of rows did not fit the deal, as the closer of that session says.
    """

    def sections(found: Any) -> Sections:
        columns = ("account", "run", "asked", "stage", "session", "signed", "refused", "accused")
        return [("Openings", columns, [_row(one) for one in found["openings"]])]

    show(lambda: ask(directory, operator, "openings", "/v1/openings"), sections, as_json, watch)


def reshare(
    institution: Annotated[str, typer.Argument(metavar="INSTITUTION", help="Its name here.")],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    dealer: Annotated[
        list[int] | None, typer.Option(help="Point of one that passes on; as many as have the book together.")
    ] = None,
) -> None:
    """Have custodians of the book in force pass their shares on to those of the policy in force.

        atomic-margin operator reshare fund --dir operator-data

    Under the same policy they make their shares anew. Without --dealer those pass on that kept fewest re-sharings from
    their end. One takes as long as a deal may; `operator resharings` shows how far it is. Asked for again, the one
    before is over.

    Exit status 0: asked for. 1: refused, the problem document is printed. 2: nobody answered.
    """
    with plain_errors():
        body: dict[str, Any] = {"institution": institution}
        body |= {"dealers": [str(point) for point in sorted(dealer)]} if dealer else {}
        _post("reshare", "resharings", directory, operator, body)


def resharings(
    directory: Directory, as_json: AsJson = False, watch: Watch = None, operator: Address = DEFAULT_OPERATOR
) -> None:
    """Show the re-sharings that were asked for, the newest first: who passed on, who receipted, whom they blame.

    atomic-margin operator resharings --dir operator-data
    """

    def sections(found: Any) -> Sections:
        columns = ("account", "asked", "until", "state", "dealers", "passed on", "receipts", "blamed")
        return [("Re-sharings", columns, [_resharing(one) for one in found["resharings"]])]

    show(lambda: ask(directory, operator, "resharings", "/v1/resharings"), sections, as_json, watch)


def _post(command: str, what: str, directory: Path, operator: str, body: dict[str, Any]) -> None:
    found = call(
        f"operator {command}",
        "POST",
        f"{operator.rstrip('/')}/v1/{what}",
        token=read_token(directory / TOKEN_FILE),
        body=body,
        whom="the operator",
        advice="start the operator with `atomic-margin serve`, or give its address with --operator",
    )
    print_json(found)


def _resharing(one: Any) -> tuple[str, ...]:
    body, passed = one["request"]["body"], {part["body"]["deal"]: part["body"]["point"] for part in one["passed_on"]}
    blamed = sorted({passed.get(part["body"]["deal"], "?") for part in one["complaints"]})
    return (
        one["institution"],
        body["requested_at"],
        one["expires_at"],
        one["state"],
        ", ".join(body["dealers"]),
        ", ".join(sorted(passed.values(), key=int)),
        str(len(one["receipts"])),
        ", ".join(blamed),
    )


def _row(one: Any) -> tuple[str, ...]:
    body, session = one["request"]["body"], one["session"]
    present = "" if session is None else ", ".join(part["point"] for part in session["present"])
    stage = "over" if one["over"] else "open" if one["finding"] is None else one["finding"]["outcome"]
    return (
        one["institution"],
        body["run_id"],
        body["requested_at"],
        stage,
        "" if session is None else f"{session['number']}: {present}",
        str(len(one["verdicts"])),
        "; ".join(f"{point}: {reason}" for point, reason in sorted(one["refusals"].items())),
        "; ".join(
            f"{said['point']} by {said['closer']} in session {said['session']}: {said['reason']}"
            for said in one["accusations"]
        ),
    )
