"""Training: from a dataset and a configuration to a folder of checkpoints.

Read in this order: `config` holds every setting; `train` is the way in, `runs` says what a run
begins with and `loop` takes its steps. A step is made of `data` and `augment` (its batch), `step`
(forward and backward), `optimise` and `muon` (the update) and `distributed` (several processes).
`validate` and `progress` are what the loop reports. `train_segmenter` trains the teacher.

May import: the grounds, `shards`, `networks`, `checkpoints`, `evaluation`, `objective` and
`prediction`.
"""
