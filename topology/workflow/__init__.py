"""One workflow execution: one file per entity, two tables that point.

`decide.py` lists everything that may be asked, `evolve.py` everything that can happen. An
entity's file opens with its life cycle; its asks get a `Turn` and record facts, its folds
(`on_...`) apply them. `state.py` has the rows, `views.py` the reads.
"""
