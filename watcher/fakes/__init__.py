"""Registry, ledger and targets in memory, with scripted faults and a clock of yours: for your tests and ours."""
