"""What turns images into discrete codes: one file is one kind in config/tokenizers.tsv.

A tokenizer is a module whose constructor arguments are its settings. Its class has

    codes            how many codes there are
    factor           pixels along a side of what becomes one code
    is_trained       whether `fit` needs settings of the training loop
    fit(...)         learn from a packed data set
    load_published(path)
                     take published weights instead (setting `file`)
    encode(images)   RGB in [0, 1], [b, 3, H, W] -> codes, int64 [b, H / factor, W / factor]
    decode(codes)    the way back, None where there is none
"""

CONTEXT = ()  # arguments of the constructor that the code passes, not a sheet
