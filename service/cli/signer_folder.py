"""`atomic-margin signer init`: the folder of a signer, with key, trust file, addresses and options."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli import scaffolds
from atomic_margin.service.cli.configuration import DEFAULT_PORTS, FILE_NAME, text_of
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol.public_files import (
    InstitutionPublic,
    OperatorPublic,
    PublicFile,
    WitnessPublic,
    fingerprint,
)

KEYSTORE, ADDRESSES, TRUST = "keystore.json", "addresses.json", "trust.json"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if absent.")],
    operator: Annotated[Path, typer.Option(help="Public file of the operator.")],
    witness: Annotated[list[Path], typer.Option(help="Public file of a witness, from its owner; repeatable.")],
    institution: Annotated[list[Path], typer.Option(help="Public file of an institution; repeatable.")],
    addresses: Annotated[Path, typer.Option(help="Addresses of the chain's contracts, as JSON; copied.")],
    rpc: Annotated[str, typer.Option(help="Address of a node of the chain, the signer's own.")],
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with the password of the keystore, on one line.", show_default="asked for"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = DEFAULT_PORTS["signer"],
    force: Annotated[bool, typer.Option("--force", help="Write the options anew. The key stays as it is.")] = False,
) -> None:
    """Make the folder of a signer: key, trust file of others' public files, addresses, options.

        atomic-margin signer init signer --operator operator/public.json --witness witness/public.json
        --institution institution/public.json --addresses addresses.json --rpc http://127.0.0.1:8545

    Compare the fingerprints that are printed, and the addresses, with their owners before you serve.
    """
    needs_extras("signer init", "chain")
    from atomic_margin.contracts.addresses import ChainAddresses
    from atomic_margin.contracts.keystore import create_key, read_password

    with plain_errors():
        scaffolds.prepare(folder, force)
        of: OperatorPublic = scaffolds.read_public(OperatorPublic, operator)
        witnesses: list[WitnessPublic] = [scaffolds.read_public(WitnessPublic, path) for path in witness]
        institutions: list[InstitutionPublic] = [scaffolds.read_public(InstitutionPublic, path) for path in institution]
        for one in institutions:
            if not one.keys:
                raise ConfigurationError(
                    f"the public file of {one.name} has no hash of its keys: ask for the one from after its enrolment"
                )
        taken: list[tuple[str, PublicFile]] = [(f"operator {of.name}", of)]
        taken += [(f"witness {one.name}", one) for one in witnesses]
        taken += [(f"institution {one.name}", one) for one in institutions]
        for whose, document in taken:
            out.print(f"taken: {whose}, fingerprint {fingerprint(document)}", soft_wrap=True, markup=False)
        ChainAddresses.load(addresses)
        if (folder / ADDRESSES).resolve() != addresses.resolve():
            shutil.copyfile(addresses, folder / ADDRESSES)
        write_json(folder / TRUST, scaffolds.trust_of(of, institutions, witnesses).canonical())
        if not (folder / KEYSTORE).exists():
            made = create_key(folder / KEYSTORE, _asked() if password_file is None else read_password(password_file))
            out.print(f"signer {made.address}", soft_wrap=True, markup=False)
        values: dict[str, Any] = {
            "keystore": KEYSTORE,
            "trust": TRUST,
            "addresses": ADDRESSES,
            "rpc": rpc,
            "host": host,
            "port": port,
        }
        if password_file is not None:
            values["password-file"] = str(password_file.resolve())
        (folder / FILE_NAME).write_text(text_of("signer", values))
        out.print(f"made: {folder}", soft_wrap=True, markup=False)
        for step in ("register", "serve"):
            out.print(f"next: atomic-margin signer {step} --config {folder / FILE_NAME}", soft_wrap=True, markup=False)


def _asked() -> str:
    return str(typer.prompt("Password of the new keystore", hide_input=True, confirmation_prompt=True))
