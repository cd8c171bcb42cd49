"""Targets, what a masked model predicts: one file is one name in a sheet.

A target is a frozen value that sees images and nothing else. Its constructor takes `image_channels`, the channels of
the images, beside its settings. It has

    channels            channels that the head must predict
    resolution_px       cells along the image's height, None = one per pixel
    cell_multiple       pixels that the side of a cell must be a multiple of
    losses              names of the losses that it can be compared with (`simmim.losses`)
    in_pixel_units      whether a colour is a possible prediction (the mean colour is then a baseline)
    __call__            (pixels, normalised) -> what to predict, float [b, channels, h, w], or classes, int64
                        [b, g, h, w], for `channels` = g times the number of classes; both arguments are the same images
                        [b, c, H, W], uint8 or float from 0 to 255, and normalised
    to_pixels           (prediction, normalised, normalise) -> a picture of a prediction [b, channels, h, w]: normalised
                        [b, c, H, W], or None where there is none; `normalise` takes values from 0 to 255
"""

CONTEXT = ("image_channels",)  # arguments of the constructor that the code passes, not a sheet
