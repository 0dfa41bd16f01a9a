"""From a dataset and a configuration to a folder of checkpoints.

Read `train` first: its loop calls all the others. `config`, `runs`, `sources`, `precisions` and
`lock` say what a run begins with. `data`, `augment`, `cut`, `spoil` and `photographs` make its
batches; `step`, `convolve`, `normalise`, `levels`, `shares`, `optimise`, `muon` and `distributed`
take its steps; `hooks`, `signals`, `values`, `validate`, `progress`, `loggers` and `saving` are for
what happens along the way. `train_segmenter` and `teacher` are about the semantic teacher, and
`split_dataset` serves training loops that are not ours.

May import: both grounds, `networks`, `checkpoints`, `evaluation`, `objective`, `prediction`,
`vocsmooth.operators`, `vocsmooth.shards`.
"""
