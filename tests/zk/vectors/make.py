"""How proofs.json was made: ``python tests/zk/vectors/make.py > tests/zk/vectors/proofs.json``.

It is frozen. Making it again (with fresh nonces) is right only when the proof format's version changes.
"""

import json

import numpy as np

from atomic_margin.zk import PortfolioStatement, SufficiencyStatement, generators_hash, load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness


def main() -> None:
    group = load_group("arkworks")
    context = {"institution": "Harbour Fund", "submission": "1"}
    run = {**context, "price sequence": "42", "role": "maintenance"}
    values = (5, 0, 31)
    commitments, blindings = commit_values(values, bytes(range(32)), context, group)
    portfolio = PortfolioStatement(commitments, (5, 5, 5), (1, 32, 7), 2**40 - 1, context)
    suffices = SufficiencyStatement(commitments, np.array([[-3, 4, -1], [9, 0, -2]]), (46, 20), 0, 20, run)
    topped_up = SufficiencyStatement(commitments, np.array([[-3, 4, -1]]), (0,), 50, 3, run)
    records = [
        {
            "statement": "portfolio",
            "commitments": [data.hex() for data in commitments],
            "widths": portfolio.widths,
            "gross_weights": portfolio.gross_weights,
            "gross_limit": portfolio.gross_limit,
            "context": context,
            "proof": prove_portfolio(portfolio, PortfolioWitness(values, blindings), group).hex(),
        },
        *(
            {
                "statement": "sufficiency",
                "commitments": [data.hex() for data in commitments],
                "weights": statement.weights.tolist(),
                "offsets": statement.offsets,
                "top_up": statement.top_up,
                "bits": statement.bits,
                "context": run,
                "proof": prove_sufficiency(statement, SufficiencyWitness(values, blindings), group).hex(),
            }
            for statement in (suffices, topped_up)
        ),
    ]
    print(json.dumps({"generators": generators_hash(), "values": values, "records": records}, indent=1))


if __name__ == "__main__":
    main()
