"""The policy's values under their older name."""

from watcher.policy import Approval as Approval
from watcher.policy import Better as Better
from watcher.policy import EvidenceRules as EvidenceRules
from watcher.policy import Guard as Guard
from watcher.policy import Policy as Policy
from watcher.policy import Primary as Primary
from watcher.policy import SameData as SameData
