"""Targets of the method: one file is one name in a sheet.

A target is a value that sees images and nothing else. Its class has

    channels        channels that the head must predict
    resolution_px   cells along the image's height, None = one per pixel
    cell_multiple   pixels that the side of a cell must be a multiple of
    losses          names of the losses it can be compared with
    in_pixel_units  whether a colour is a possible prediction (the mean colour is then a baseline)
    target(images)  normalised images [b, c, H, W] -> what to predict, float [b, channels, h, w] or classes int64
                    [b, g, h, w] for `channels` = g times the number of classes
    to_pixels(prediction, images)
                    a picture of a prediction [b, channels, h, w]: normalised [b, c, H, W], or None where there is
                    none to be had
"""

CONTEXT = ("normaliser",)  # arguments of the constructor that the code passes, not a sheet
