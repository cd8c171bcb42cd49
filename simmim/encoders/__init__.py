"""Encoders: one file is one name in a sheet.

An encoder is an `nn.Module` that derives from `simmim.encoders._encoder.Encoder`, where the defaults are. Its
constructor takes `image_px` (height, width) and `in_channels` beside its settings, among which are `drop_path` and
`checkpoint_activations`. The same images give bit-equal output whatever their hidden pixels hold. It has

    image_px            height and width it was built for
    token               side in pixels of one token
    stride              side in pixels of what one output feature stands for
    width               channels of the output
    depth               number of blocks
    levels              channels and stride of every map of `feature_maps`
    final_norm          whether `forward` ends in a norm; a classifier brings its own otherwise
    any_size            whether inputs of any height and width are taken; otherwise of `image_px` only
    takes               height and width -> whether inputs of that size are taken
    transfer_settings   names of the settings that a transfer may change
    kept_settings       settings that a transfer must not derive anew from its own window and input size
    mask_token          what hidden tokens are replaced by
    forward             normalised images [b, c, H, W] and hidden tokens, bool [b, H / token, W / token], or None
                        -> [b, width, H / stride, W / stride]
    block_maps          images and hidden tokens or None -> output of every block, [b, d, h, w] each, one after another
    block_features      the same -> output of every block averaged over its tokens, `depth` tensors [b, d]
    feature_maps        images -> maps for dense tasks, finest first, one per level
    layer_of            parameter name -> layer for layer-wise learning-rate decay: 0 the embedding, 1 to depth the
                        blocks, depth + 1 the rest
    stem_parameters     names of the parameters that an image meets before the mask tokens
    unmapped_parameters names of the parameters that no map of `feature_maps` depends on
    no_weight_decay     names without weight decay beside the one-dimensional ones, in pre-training or in transfer
    adapt               a state saved at another size -> one that fits this instance
"""

CONTEXT = ("image_px", "in_channels")  # arguments of the constructor that the code passes, not a sheet
