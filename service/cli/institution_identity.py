"""The command of `atomic-margin institution` that replaces its identity key. It works while no agent runs."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli import tls
from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.names import require_name
from atomic_margin.service.protocol.trust import TrustFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rotate-identity", cls=configured("institution"))(rotate_identity)


def rotate_identity(
    directory: Directory,
    name: Annotated[str, typer.Option(help="The institution's name at the operator.")],
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
    trust: Annotated[Path, typer.Option(help="Pinned operator, price rules and terms; see `atomic-margin trust`.")],
    gross_limit: Annotated[int, typer.Option(help="Gross limit of submissions, whole USD; it is public.", min=1)],
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Somebody else has it: follow what they did, and wait for nothing that has no entry."
        ),
    ] = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Make the new key and print it; nothing is sent.")] = False,
    ca: tls.Authorities = None,
    config: ConfigFile = None,
) -> None:
    """Replace the identity key: the old one signs that it goes, the new one that it comes. Stop the agent before.

    From the operator's entry on documents and requests count under the new key alone, and the old key never again. Run
    it once more after a crash or a lost line: it ends what was begun, with the same new key. Trust files go on naming
    the first key: bundles show how it was replaced.

    If somebody else has the key: tell the operator, who holds the account (`operator hold`) for the key that --prepare
    prints; then run it with --adopt.
    """
    needs_extras("institution rotate-identity", "fhe", "service")
    from atomic_margin.service.http.tls import trusting
    from atomic_margin.service.institution import rotation
    from atomic_margin.service.institution.agent import Agent
    from atomic_margin.service.institution.directory_lock import DirectoryLock
    from atomic_margin.service.institution.settings import AgentSettings

    with plain_errors():
        lock = DirectoryLock(directory)
        if prepare:
            if not (directory / rotation.KEY).is_file():
                raise ConfigurationError(f"{directory / rotation.KEY} is not there; --dir is the agent's folder")
            print_json({"next": rotation.make_next(directory).public_key})
            lock.release()
            return
        require_name(name)
        pins = read_document(trust, TrustFile.parse)
        settings = AgentSettings(directory, name, operator, pins, gross_limit, None, verify=trusting(ca))
        try:
            print_json({"identity": rotation.rotate(directory, lambda: Agent(settings, lock=lock), adopt)})
        finally:
            lock.release()
