"""What is chosen where nothing was asked for, and where a setting is warned of."""

import pytest

from simmim.config.sections import pixels
from simmim.own.choices import Asked, choose, warnings
from simmim.own.models import models, recipe_of


def test_a_small_batch_keeps_a_rate_that_learns():
    train = choose(recipe_of("swin_base"), 300, Asked()).recipe["train"]
    assert train["batch"] == 64 and train["base_lr"] * 64 / 512 == pytest.approx(8e-4 * (64 / 2048) ** 0.5, rel=1e-2)
    assert train["epochs"] * 300 / 64 >= 1000 and train["warmup_epochs"] == pytest.approx(train["epochs"] / 10)


def test_many_images_get_the_paper_s_epochs_and_larger_batches():
    train = choose(recipe_of("vit_base"), 100_000, Asked()).recipe["train"]
    assert (train["batch"], train["epochs"]) == (256, 100)


def test_what_is_asked_for_is_what_is_used():
    train = choose(recipe_of("swin_tiny"), 300, Asked(batch=256, lr=1e-4, epochs=7)).recipe["train"]
    assert (train["batch"], train["base_lr"], train["base_lr_batch"], train["epochs"]) == (256, 1e-4, 512, 7)
    assert choose(recipe_of("swin_tiny"), 300, Asked(steps=30, batch=10)).recipe["train"]["epochs"] == 1


@pytest.mark.parametrize(("image_px", "window", "patch"), [((224, 224), 7, 32), ((96, 160), 1, 16), ((64, 64), 2, 16)])
def test_windows_and_masked_patches_follow_the_size(image_px, window, patch):
    recipe = choose(recipe_of("swin_tiny"), 300, Asked(image_px=image_px)).recipe
    assert recipe["encoder"]["window"] == window
    assert recipe["geometry"] == {"image_px": [*image_px], "masked_patch_px": patch}


def test_sizes_are_one_number_or_two():
    assert pixels("192") == pixels(192) == (192, 192) and pixels("96x160") == (96, 160) and pixels(None) is None
    assert pixels((96, 160)) == (96, 160)
    with pytest.raises(ValueError, match="--image-px 96x-160 must be a number such as 192"):
        pixels((96, -160))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((6e-6, 1000, 1000), "a peak rate of 6.0e-06 hardly moves the weights"),
        ((1e-2, 1000, 1000), "a peak rate of 1.0e-02 is more than most trainings survive"),
        ((1e-3, 50, 1000), "50 updates teach little"),
        ((1e-3, 1000, 30), "30 images are few"),
    ],
)
def test_settings_that_cannot_learn_are_warned_of(given, said):
    (warning,) = warnings(*given)
    assert warning.startswith(said)


def test_usual_settings_are_not():
    assert warnings(1e-3, 1000, 300) == []


@pytest.mark.parametrize("model", models())
def test_every_model_of_the_sheet_is_one_that_can_be_built(model):
    from simmim.config.errors import validated
    from simmim.config.models import PretrainSettings

    recipe = choose(recipe_of(model), 300, Asked()).recipe
    settings = validated(PretrainSettings, {key: value for key, value in recipe.items() if key != "stage"})
    side, patch = settings.geometry.image_px[0], settings.geometry.masked_patch_px
    assert side % patch == 0 and patch % settings.encoder.settings["patch_px"] == 0
