"""Prediction heads: one file is one name in a sheet.

A head is an `nn.Module`. Its constructor takes `width`, the channels of the encoder's output, `stride`, the target's
cells per side that one feature stands for, and `channels`, those of the target, beside its settings. It has

    forward     features [b, width, h, w] -> prediction [b, channels, h * stride, w * stride]; a feature acts most on
                the cells that it stands for, and images of a batch do not act on each other
"""

CONTEXT = ("width", "stride", "channels")  # arguments of the constructor that the code passes, not a sheet
