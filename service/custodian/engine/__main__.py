"""See `process`."""

from atomic_margin.service.custodian.engine.process import main

if __name__ == "__main__":
    main()
