"""`atomic-margin operator prune`: remove what the rules of retention let go, whether the server runs or not."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.cli.stored import Blobs, Database, blobs_of, open_store
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document

KEY_FILE = "operator.key"


def prune(
    directory: Directory,
    retention: Annotated[
        Path | None, typer.Option(help="Rules, as `serve --retention` has them; the usual ones by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and remove nothing.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print the rules, and look at nothing.")] = False,
    database: Database = None,
    blobs: Blobs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Remove output words, keys and ciphertexts that nothing is owed on, by rules that say how long they are kept.

        atomic-margin operator prune --dry-run --dir operator-data

    A server does the same by itself, every hour. Entries and their documents, records, answers, settlements, bundles
    and the log are never removed: an auditor, an archive or a replay finds all of it.

    Exit status 0: done, or counted. 2: nothing was removed.
    """
    needs_extras("operator prune", "service")
    from atomic_margin.service.operator.retention import Retention
    from atomic_margin.service.operator.retention_rules import RetentionRules
    from atomic_margin.service.operator.store.remote_blobs import open_blobs

    with plain_errors():
        kept = RetentionRules() if retention is None else read_document(retention, RetentionRules.parse)
        if rules:
            print_json(kept.canonical())
            return
        if not (directory / KEY_FILE).is_file():
            raise ConfigurationError(f"{directory / KEY_FILE} is not there; --dir is the folder of `serve --dir`")
        store = open_store(directory, database)
        try:
            pruned = Retention(store, open_blobs(directory, blobs_of(directory, blobs)), kept).prune(dry_run=dry_run)
        finally:
            store.close()
    if as_json:
        print_json({"removed": not dry_run, **pruned._asdict()})
        return
    verb = "would go" if dry_run else "went"
    out.print(
        f"{pruned.bytes / 1e6:.1f} MB {verb}: words of {pruned.runs} runs and {pruned.shortfalls} shortfalls, "
        f"{pruned.unconfirmed_keys} keys that nobody confirmed, {pruned.superseded_keys} that were replaced, "
        f"{pruned.ciphertexts} ciphertexts of books that were, {pruned.deals} deals that no book is under",
        soft_wrap=True,
        highlight=False,
    )
