"""Names of the user attributes that regstudy stores in an Optuna study and its trials.

A study belongs to Optuna: any of these can be read with plain `optuna.load_study`.
"""

from __future__ import annotations

PREFIX = "regstudy:"

# of a study
SPACE = PREFIX + "space"  # YAML text of the resolved space; absent from a comparison
PLAN = PREFIX + "plan"  # YAML text of the plan: its arms and their order; absent from a search
SPACE_NAME = PREFIX + "space_name"
FINGERPRINT = PREFIX + "fingerprint"  # of the resolved space or the plan
METRIC = PREFIX + "metric"  # name of the EpochRecord field that is the objective, such as val_accuracy
GAP_AT_MOST = PREFIX + "gap_at_most"  # only trials with at most this gap may win, in the metric's unit (0..1, nats)
EPOCHS_PLANNED = PREFIX + "epochs_planned"
REGULARIZERS = PREFIX + "regularizers"  # {dotted path of a regularizer: its off value}
NUISANCES = PREFIX + "nuisances"  # dotted paths of hyperparameters that are tuned but not under study
DATA = PREFIX + "data"  # the images that were used: see data.Splits.describe
SEED = PREFIX + "seed"
TRIALS = PREFIX + "trials"  # the number of finished trials requested last, without confirmation runs
CONFIRM = PREFIX + "confirm"  # requested last: {"share": of the trials, "runs": confirmation runs}; see study.companion
UNTIL = PREFIX + "until"  # when the search ends, requested last: "trials", after their number, or "worth"; see STOPPED
STOPPED = PREFIX + "stopped"  # of a search that ended because more trials were not worth it; see search.worth
WORKERS = PREFIX + "workers"  # how many a measurement at the start chose; see search.side_by_side
START = PREFIX + "start"  # what the search knew when it began; see study.start
PARAMETERS = PREFIX + "parameters"  # of a comparison: {arm: [parameters of the network, trainable ones]}
RACE = PREFIX + "race"  # of confirmation runs; see search.race_facts
ABLATION = PREFIX + "ablation"  # of ablation runs; see search.ablation_facts
PILOT = PREFIX + "pilot"  # of the pilot of an answer: {"fingerprint": of the space, "runs"}; see search.pilot
ANSWER = PREFIX + "answer"  # how far `regstudy answer` has come; see search.answer_progress
RESOLUTION = PREFIX + "resolution"  # what an answer's ablation can tell in its budget; see analysis.told_resolution
FINAL_MODEL = PREFIX + "final_model"  # of an answer: {"folder": in the study's, "trial", "words": how good it is}
MARGIN = PREFIX + "margin"  # of a comparison: arms whose metric (0..1, nats) differs by at most this count as equal
PRUNER = PREFIX + "pruner"  # name of the pruner requested last
AUDIT = PREFIX + "audit"  # when the search last ended: {"pruned", "spent", "saved", "judged", "wrong", "at_most"}
DOCTOR = PREFIX + "doctor"  # the doctor's findings before the search, or {"skipped": why}; see report.stored_diagnosis
COMMAND = PREFIX + "command"  # reproduces the study
HEADLINE = PREFIX + "headline"  # when its report was last written: the answer in a line, see report.headline
PUSHED = PREFIX + "pushed"  # {dashboard item: its digest}
VERSIONS = PREFIX + "versions"  # {package: version, "device": …, "threads": …}

# of a trial
SLOT = PREFIX + "ticket"  # the slot, counted from 0; a retried trial keeps it
ARM = PREFIX + "arm"  # "baseline" (every regularizer off) or "search"; in a comparison the name of the arm
CONFIG = PREFIX + "config"  # the resolved RunConfig as nested JSON
EPOCHS = PREFIX + "epochs"  # see records.dump_records
OUTCOME = PREFIX + "outcome"  # finished | stopped | pruned | diverged
SHADOW = PREFIX + "shadow"  # of a trial exempt from pruning: {"epoch", "reason"} of the pruning that was not done
REASON = PREFIX + "reason"  # for the outcome or the failure, as text
WITHDRAWN = "withdrawn: "  # how the reason begins of a trial that was closed before anybody trained it
FAULT = PREFIX + "fault"  # why an attempt failed: "error" | "killed" | "timeout"; absent if the user interrupted it
OWNER = PREFIX + "owner"  # {"host", "pid", "started"} of the process that runs or ran it
CLAIM = PREFIX + "claim"  # drawn for each claim, so that one whose answer was lost is known again
ALIVE = PREFIX + "alive"  # seconds since 1970 when the process that runs it last said so; on a server
WORKERS = PREFIX + "workers"  # number of worker processes on the same machine, including its own
THREADS = PREFIX + "threads"  # CPU threads of its process: the same number gives the same curve
RESUMED = PREFIX + "resumed"  # epochs restored from the checkpoint of an earlier attempt
RELIABILITY = PREFIX + "reliability"  # at its best epoch, on the validation part; see records.Reliability
CONFUSION = PREFIX + "confusion"  # at its best epoch, by part; see records.dump_confusions
GROUPS = PREFIX + "groups"  # at its best epoch, right answers per group by part; see records.dump_groups
BEST_EPOCH = PREFIX + "best_epoch"  # counts from 1; 0 if no epoch was usable; with folds, that of the first
BEST_VALUE = PREFIX + "best_value"  # the objective at that epoch; with folds, the mean over their best epochs
FOLDS = PREFIX + "folds"  # of each fold that has ended: {"outcome", "reason", "best_epoch", "best_value"}
