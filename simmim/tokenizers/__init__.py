"""Tokenizers turn images into discrete codes: one file is one kind in config/tokenizers.tsv.

A tokenizer is an `nn.Module` whose constructor takes its settings; the setting `file` names published weights. It has

    codes           how many codes there are
    factor          pixels along a side of what becomes one code
    is_trained      whether `fit` needs the settings of a training, and all processes; else the main one alone calls it
    fit             (shards, config, state, processes): learn from a packed data set, with checkpoints in the folder
                    `state`
    load_published  take published weights from a file instead
    encode          RGB in [0, 1], [b, 3, H, W] -> codes, int64 [b, H / factor, W / factor]
    decode          codes -> RGB in [0, 1], [b, 3, H, W], None where there is no way back
"""

CONTEXT = ()  # arguments of the constructor that the code passes, not a sheet
