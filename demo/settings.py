"""What the watcher of the demo runs with: short polls and bakes, and bounds above the noise of two cores."""

from __future__ import annotations

from pathlib import Path

from demo.trainer import METRIC, MODEL

BAKE = 3.0
KEEP_WARM = 4.0
TARGET, BATCH, STREAM = "api", "nightly", "live"
_TEXT = """\
# Written by the demo; any watch.yaml looks like this. Polls, bakes and keep-warm are usually minutes to hours.
version: 1
owner: demo
registry: {{uri: "{uri}", tracking_uri: "{uri}"}}
ledger: sqlite:///state/ledger.db
poll: {{changes: 500ms, marks: 500ms, evidence: 500ms, resync: 1m}}
policies:
  better:
    primary: {{metric: {metric}, better: higher, min_gain: 0.005}}
    floors: {{{metric}: 0.1}}
rollouts:
  quick:
    canary: [10, 50, 100]
    bake: {bake:g}s
    # Four connections and everything else share two cores: a bound on latency below the noise would be a lottery.
    analysis: {{min_requests: 20, max_error_increase: 0.05, max_p95_ratio: 25, no_traffic: wait}}
    keep_warm: {keep_warm:g}s
    deadline: 2m
models:
  - name: {model}
    policy: better
    rollout: quick
    targets:
      - {{name: {target}, kind: local-endpoint, port: {port}, gateway: state/gateway}}
      # The stream tries each version on rows of the same table, so the batch job need not.
      - {{name: {batch}, kind: batch, engine: {engine}, pointer: state/nightly.json,
         input: features, output: runs, trial: none}}
      - {{name: {stream}, kind: stream, engine: {engine}, pointer: state/live.json, input: features, output: scores}}
"""


def write(path: Path, uri: str, port: int, engine: str) -> None:
    """Write the file. `uri` is the registry's and the tracking store's, `engine` the jobs'."""
    names = {"model": MODEL, "metric": METRIC, "target": TARGET, "batch": BATCH, "stream": STREAM}
    path.write_text(_TEXT.format(uri=uri, port=port, bake=BAKE, keep_warm=KEEP_WARM, engine=engine, **names))
