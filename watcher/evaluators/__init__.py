"""Where models are scored: each runner behind the port `Evaluator`."""
