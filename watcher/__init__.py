"""Watches an MLflow model registry and rolls winners out to whatever serves them.

The loop, for one model, at every wake-up (`reconcile.py`):

    gather   the ledger record, then the registry marks, then the targets, then the evidence
    judge    evidence + policy -> a verdict for each candidate            (pure)
    decide   the gathered snapshot + verdicts + now -> exactly one step   (pure)
    record   the intent, by compare-and-set; whoever loses the race stops here
    act      one verb of one port, never waiting for slow work
    record   the outcome, the history line, attempts or backoff
"""

__version__ = "0.1.0"
