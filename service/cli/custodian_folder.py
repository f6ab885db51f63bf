"""`atomic-margin custodian init` and `agree`: the folder of a custodian, and the policies that it takes deals under."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli import scaffolds
from atomic_margin.service.cli.configuration import DEFAULT_PORTS, FILE_NAME, text_of
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, plain_errors, print_json
from atomic_margin.service.files import read_document, write_json
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.names import require_name
from atomic_margin.service.protocol.public_files import (
    InstitutionPublic,
    OperatorPublic,
    PublicFile,
    WitnessPublic,
    fingerprint,
)

TRUST = "trust.json"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if absent.")],
    name: Annotated[str, typer.Option(help="Of this custodian, in policies.")],
    operator: Annotated[Path, typer.Option(help="Public file of the operator.")],
    witness: Annotated[list[Path], typer.Option(help="Public file of a witness, from its owner; repeatable.")],
    institution: Annotated[list[Path], typer.Option(help="Public file of an institution; repeatable.")],
    engine_host: Annotated[str, typer.Option(help="Address that the engine listens on.")] = "127.0.0.1",
    engine_port: Annotated[int, typer.Option(help="Port that it listens on.", min=1, max=65_535)] = DEFAULT_PORTS[
        "custodian"
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write trust file and options anew. Keys stay as they are.")
    ] = False,
) -> None:
    """Make the folder of a custodian: keys, trust file of others' public files, options.

        atomic-margin custodian init custodian --name custodian-1 --operator operator/public.json
        --witness witness/public.json --institution institution/public.json

    It prints this custodian's line of a policy; whoever writes the policy adds the point. Compare the fingerprints with
    their owners before you serve.
    """
    needs_extras("custodian init", "service")
    from atomic_margin.service.custodian.folder import Folder

    with plain_errors():
        require_name(name)
        scaffolds.prepare(folder, force)
        of: OperatorPublic = scaffolds.read_public(OperatorPublic, operator)
        witnesses: list[WitnessPublic] = [scaffolds.read_public(WitnessPublic, path) for path in witness]
        institutions: list[InstitutionPublic] = [scaffolds.read_public(InstitutionPublic, path) for path in institution]
        taken: list[tuple[str, PublicFile]] = [(f"operator {of.name}", of)]
        taken += [(f"witness {one.name}", one) for one in witnesses]
        taken += [(f"institution {one.name}", one) for one in institutions]
        for whose, document in taken:
            err.print(f"taken: {whose}, fingerprint {fingerprint(document)}", soft_wrap=True, markup=False)
        made = Folder.make(folder)
        write_json(folder / TRUST, scaffolds.trust_of(of, institutions, witnesses).canonical())
        values: dict[str, Any] = {
            "operator": of.address,
            "trust": TRUST,
            "engine-host": engine_host,
            "engine-port": engine_port,
        }
        (folder / FILE_NAME).write_text(text_of("custodian", values))
        err.print(f"made: {folder}", soft_wrap=True, markup=False)
        for step in ("agree --dir DIR POLICY", "serve --dir DIR"):
            said = step.replace("DIR", str(folder))
            err.print(f"next: atomic-margin custodian {said}", soft_wrap=True, markup=False)
        print_json(
            {"name": name, "identity": made.identity.public_key, "encryption_key": made.encryption_key},
        )


def agree(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A custody policy, as JSON.")],
    directory: Annotated[Path, typer.Option("--dir", help="Folder of this custodian.")],
) -> None:
    """Take a custody policy: from now on deals under it are taken, and books opened as it says.

    A process that serves the folder sees it at its next round.
    """
    needs_extras("custodian agree", "service")
    from atomic_margin.service.custodian.folder import Folder

    with plain_errors():
        taken = read_document(policy, CustodyPolicy.parse)
        own = Folder(directory).agree(taken)
        print_json(
            {
                "policy": taken.hash(),
                "name": taken.name,
                "point": str(own.point),
                "threshold": str(taken.threshold),
                "custodians": str(len(taken.custodians)),
                "opening_after_seconds": str(taken.opening_after_seconds),
            }
        )
