"""Room podium/lessons: one file a lesson. Each has

check(world)    yields a Finding for each thing that the learner should have brought about
outcome(world)  what happened, for the prediction; called once all findings hold
clean(world)    only where a lesson leaves something outside its namespace
"""
