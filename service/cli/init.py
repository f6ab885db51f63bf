"""`atomic-margin init`: the folder of a party, with keys, documents, options, and the file that others are given."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.service.cli import scaffolds
from atomic_margin.service.cli.configuration import DEFAULT_PORTS
from atomic_margin.service.cli.output import out, plain_errors
from atomic_margin.service.protocol.public_files import InstitutionPublic, OperatorPublic, SourcePublic, WitnessPublic
from atomic_margin.service.protocol.public_files import fingerprint as fingerprint_of

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Make the folder of a party: keys, documents, options, and the public file that others are given.",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if absent.")]
Force = Annotated[bool, typer.Option("--force", help="Write the options anew. Keys stay as they are.")]
Witnesses = Annotated[
    list[Path] | None,
    typer.Option("--witness", help="Public file of a witness, from its owner; repeatable."),
]
OperatorFile = Annotated[Path, typer.Option("--operator", help="Public file of the operator.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
PublicAddress = Annotated[
    str | None, typer.Option(help="URL that others reach it by.", show_default="of host and port")
]
MAX_AGE_SECONDS = "300"


@app.command()
def source(
    directory: Folder,
    name: Annotated[str, typer.Option(help="For people.")] = "source",
    force: Force = False,
) -> None:
    """Make the folder of a price source, with example markets.

    atomic-margin init source source
    """
    with plain_errors():
        scaffolds.prepare(directory, force)
        _say(scaffolds.source(directory, name))


@app.command()
def witness(
    directory: Folder,
    name: Annotated[str, typer.Option(help="That it cosigns under.")] = "witness.example/w1",
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", envvar="ATOMIC_MARGIN_WITNESS_PORT")] = 8410,
    address: PublicAddress = None,
    force: Force = False,
) -> None:
    """Make the folder of a witness.

    atomic-margin init witness witness
    """
    with plain_errors():
        scaffolds.prepare(directory, force)
        _say(scaffolds.witness(directory, name, host, port, address))


@app.command()
def operator(
    directory: Folder,
    source: Annotated[list[Path] | None, typer.Option(help="Public file of a price source; repeatable.")] = None,
    witness: Witnesses = None,
    required: Annotated[
        int | None, typer.Option(min=1, help="Sources that must agree.", show_default="more than half")
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS|unbounded",
            help="How old prices may be. The example prices are of one day in 2026.",
            show_default=f"{MAX_AGE_SECONDS}, with --small unbounded",
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Margin model.", show_default="the example")] = None,
    universe: Annotated[Path | None, typer.Option(help="Instruments.", show_default="the example")] = None,
    schedule: Annotated[Path | None, typer.Option(help="Eligible collateral.", show_default="the example")] = None,
    price_rules: Annotated[Path | None, typer.Option(help="Price rules.", show_default="made of the sources")] = None,
    waterfall: Annotated[Path | None, typer.Option(help="Rules of the default waterfall.")] = None,
    breakers: Annotated[Path | None, typer.Option(help="Rules about too many calls at once.")] = None,
    small: Annotated[
        bool, typer.Option("--small", help="First steps: four instruments, which are evaluated in a second.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option(help="FHE profile.", show_default=f"{DEFAULT.name}, with --small tiny")
    ] = None,
    name: Annotated[str, typer.Option(help="For people.")] = "operator",
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", envvar="ATOMIC_MARGIN_OPERATOR_PORT")] = DEFAULT_PORTS[
        "operator"
    ],
    address: PublicAddress = None,
    force: Force = False,
) -> None:
    """Make the folder of an operator: terms, price rules of the sources named, keys.

        atomic-margin init operator operator --source source/public.json --witness witness/public.json

    Documents that you do not name are the examples; look at what is in the folder before you serve anybody.
    """
    with plain_errors():
        scaffolds.prepare(directory, force)
        documents = scaffolds.Documents(model, universe, schedule, price_rules, waterfall, breakers, small)
        made = scaffolds.operator(
            directory,
            documents,
            [scaffolds.read_public(SourcePublic, path) for path in source or []],
            required,
            max_age or ("unbounded" if small else MAX_AGE_SECONDS),
            [scaffolds.read_public(WitnessPublic, path) for path in witness or []],
            {
                "name": name,
                "host": host,
                "port": port,
                "address": address,
                "profile": profile or (scaffolds.SMALL_PROFILE if small else DEFAULT.name),
            },
        )
        _say(made)


@app.command()
def institution(
    directory: Folder,
    operator: OperatorFile,
    witness: Witnesses = None,
    name: Annotated[str, typer.Option(help="The account's name at the operator.")] = "fund",
    legal_name: Annotated[str, typer.Option(help="Legal name.")] = "Example Fund LP",
    gross_limit: Annotated[
        int | None, typer.Option(min=1, help="Gross limit of submissions, whole USD.", show_default="of the example")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the agent.", envvar="ATOMIC_MARGIN_INSTITUTION_PORT")
    ] = DEFAULT_PORTS["institution"],
    force: Force = False,
) -> None:
    """Make the folder of an institution: identity, and a trust file that pins what the operator's public file says.

        atomic-margin init institution institution --operator operator/public.json --witness witness/public.json

    Compare the fingerprints that are printed with their owners before you serve. Without --witness no log is asked for.
    """
    with plain_errors():
        scaffolds.prepare(directory, force)
        of, witnesses = _taken(operator, witness)
        _say(scaffolds.institution(directory, of, witnesses, (name, legal_name), gross_limit, port))


@app.command()
def verifier(
    directory: Folder,
    operator: OperatorFile,
    institution: Annotated[list[Path] | None, typer.Option(help="Public file of an institution; repeatable.")] = None,
    witness: Witnesses = None,
    force: Force = False,
) -> None:
    """Make the folder of a verifier: a trust file of others' public files.

        atomic-margin init verifier verifier --operator operator/public.json --institution institution/public.json
        --witness witness/public.json

    Compare the fingerprints that are printed with their owners before you believe a verdict.
    """
    with plain_errors():
        scaffolds.prepare(directory, force)
        of, witnesses = _taken(operator, witness)
        institutions = [scaffolds.read_public(InstitutionPublic, path) for path in institution or []]
        for one in institutions:
            _compare(f"institution {one.name}", one)
        _say(scaffolds.verifier(directory, of, institutions, witnesses))


def _taken(operator: Path, witness: list[Path] | None) -> tuple[OperatorPublic, list[WitnessPublic]]:
    of: OperatorPublic = scaffolds.read_public(OperatorPublic, operator)
    witnesses: list[WitnessPublic] = [scaffolds.read_public(WitnessPublic, path) for path in witness or []]
    _compare(f"operator {of.name}", of)
    for one in witnesses:
        _compare(f"witness {one.name}", one)
    return of, witnesses


def _compare(whose: str, document: OperatorPublic | WitnessPublic | InstitutionPublic) -> None:
    out.print(f"taken: {whose}, fingerprint {fingerprint_of(document)}", soft_wrap=True, markup=False)


def _say(made: scaffolds.Scaffold) -> None:
    out.print(f"made: {made.directory}", soft_wrap=True, markup=False)
    if made.public is not None:
        out.print(f"fingerprint {fingerprint_of(made.public)}", soft_wrap=True, markup=False)
    for step in made.then:
        out.print(f"next: {step}", soft_wrap=True, markup=False)
