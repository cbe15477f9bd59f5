"""Names of what regstudy keeps inside an Optuna study, as user attributes of the study and of its trials.

A study belongs to Optuna: any of these can be read with plain `optuna.load_study`.
"""

from __future__ import annotations

PREFIX = "regstudy:"

# of a study
SPACE = PREFIX + "space"  # YAML text of the resolved space; absent from the study of a plan
PLAN = PREFIX + "plan"  # YAML text of the plan: its arms and their order; absent from a search
SPACE_NAME = PREFIX + "space_name"
FINGERPRINT = PREFIX + "fingerprint"  # of the resolved space or the plan
METRIC = PREFIX + "metric"  # name of the EpochRecord field that is the objective, such as val_accuracy
EPOCHS_PLANNED = PREFIX + "epochs_planned"
REGULARIZERS = PREFIX + "regularizers"  # {dotted path of a regularizer: its null, the value that turns it off}
NUISANCES = PREFIX + "nuisances"  # dotted paths of what is tuned but not under study
DATA = PREFIX + "data"  # what was really used: see data.Splits.describe
SEED = PREFIX + "seed"
TRIALS = PREFIX + "trials"  # how many finished trials were asked for last
PARAMETERS = PREFIX + "parameters"  # of a plan: {arm: [parameters of the network, those that are trained]}
MARGIN = PREFIX + "margin"  # of a plan: the difference in accuracy (0..1) up to which two arms are called equal
PRUNER = PREFIX + "pruner"  # name of the pruner that was asked for last
AUDIT = PREFIX + "audit"  # when the search last ended: {"pruned", "spent", "saved", "judged", "wrong", "at_most"}
DOCTOR = PREFIX + "doctor"  # what the doctor said before the search, or {"skipped": why}; see report.stored_diagnosis
COMMAND = PREFIX + "command"  # reproduces the study
PUSHED = PREFIX + "pushed"  # {what the dashboard was given: its digest}
VERSIONS = PREFIX + "versions"  # {package: version, "device": …, "threads": …}

# of a trial
SLOT = PREFIX + "ticket"  # counts from 0; a retried trial keeps it
ARM = PREFIX + "arm"  # "baseline" (every regularizer at its null) or "search"; in a plan the name of the arm
CONFIG = PREFIX + "config"  # the resolved RunConfig as nested JSON
EPOCHS = PREFIX + "epochs"  # see records.dump_records
OUTCOME = PREFIX + "outcome"  # finished | stopped | pruned | diverged
SHADOW = PREFIX + "shadow"  # of a trial exempt from pruning: {"epoch", "reason"} of the cut that was not made
REASON = PREFIX + "reason"  # of the outcome, or of the failure, in words
FAULT = (
    PREFIX + "fault"
)  # why an attempt failed: "error" | "killed" | "timeout"; absent if it was interrupted on purpose
OWNER = PREFIX + "owner"  # {"host", "pid", "started"} of the process that runs or ran it
CLAIM = PREFIX + "claim"  # drawn for each claim, so that one whose answer was lost is known again
ALIVE = PREFIX + "alive"  # seconds since 1970 when the process that runs it last said so; on a server
WORKERS = PREFIX + "workers"  # processes that its process worked beside on the same machine, itself included
THREADS = PREFIX + "threads"  # CPU threads of its process: the same number gives the same curve
RESUMED = PREFIX + "resumed"  # epochs taken over from the checkpoint of an earlier attempt
BEST_EPOCH = PREFIX + "best_epoch"  # counts from 1; 0 if no epoch was usable
BEST_VALUE = PREFIX + "best_value"  # the objective at that epoch
