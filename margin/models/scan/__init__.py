"""The margin model `scan`: a published list of scenarios, charges on lots, and an initial factor. No I/O here.

    model = ScanModel.parse(json.loads(text))
    true_surplus(model, universe, market, schedule, portfolio, posted)      # plain floating point
    weights = compile_weights(model, universe, market)                      # rows for `compile_run`

It stands on `rows` and imports no other model. See docs/margin-scan.md.
"""
