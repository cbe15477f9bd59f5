"""From images or a space to an answer within a time budget: the functions of the separate commands, one after another.

`answer_subject` finds the space, `plan_inputs` and `regstudy.analysis.answer_plan` plan, `answer_phases` runs, from the
confirmation on `late_phases`, `answer_clock` keeps time and progress, `plan_words` tells.
"""
