"""The loop in a host that calls functions: what each function does, without knowing whose functions they are.

`function_app.py` hands in what its triggers bring and sends off what it is given back: names of models to wake. Nothing
here waits, and nothing here is needed for correctness: a lost wake-up is found again by `poll`, a repeated one is
stopped by the ledger.
"""
