"""Methods of pre-training: one file is one name in a sheet. SimMIM is one; Table 6 compares it with others.

A method is an `nn.Module` that derives from `simmim.methods._method.Method`, where the defaults are. Its constructor
takes settings, which sheets and recipes give, and those of the following that it names, as a config has them:

    encoder, mask, head, target     component sections (`simmim.plugin.Component`); a config must have the mask, the
                                    head and the target that its method's constructor names, and no other
    geometry, images, loss          sections of `simmim.config.sections`
    tokenizer                       the module that makes the codes of a target, None where the target has none

A method has

    trained_encoder     dotted name of its encoder that the optimiser moves; layer-wise decay counts that one's layers
    kept_encoder        dotted name of the encoder that goes to `encoder.safetensors`
    kept_head           dotted name of the head that goes to `head.safetensors`
    has_teacher         whether a second network follows the trained one; such a method can neither begin with an
                        encoder file or with the first stage of a shorter run, nor be sharded
    forward             a batch of its data set, values from 0 to 255 -> mean loss, a scalar; normalises them, once
    dataset             packed images and a seed -> a data set of whole batches for `train.loop.fit`
    validate            packed images and the number format -> losses by metric, {} where it has none
    reconstruct         images and a mask of tokens -> its prediction as such images, None where it has none
    after_update        called when `step` of `steps` updates are done
"""

CONTEXT = ("encoder", "geometry", "images", "mask", "head", "target", "loss", "tokenizer")  # passed by the code
