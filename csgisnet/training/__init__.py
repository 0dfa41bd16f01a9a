"""From a dataset and a configuration to a folder of checkpoints.

Read in this order: `train`, whose loop calls all the others; `config`, `runs`, `sources`, `lock`;
for batches `data`, `augment`, `cut`; for steps `step`, `levels`, `shares`, `optimise`, `muon`,
`distributed`; along the way `hooks`, `signals`, `values`, `validate`, `progress`,
`loggers`, `saving`; and
`train_segmenter`, `teacher` for the teacher. `split_dataset` serves training loops that are not
ours.

May import: both grounds, `networks`, `checkpoints`, `evaluation`, `objective`, `prediction`,
`vocsmooth.shards`.
"""
