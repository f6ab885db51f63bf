"""The prover's side: modules that touch secret values. The operator's process never imports anything in here."""
