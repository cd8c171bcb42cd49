"""Every way in which an image can be bad: converted with a reason, or refused with one; never a crash, never silent."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from simmim.data.array_files import MAX_PIXELS
from simmim.data.decode import BadImage, normalise


def pixels(height=24, width=32, channels=3, seed=0):
    smooth = np.linspace(0, 200, height * width * channels).reshape(height, width, channels)
    return (smooth + np.random.default_rng(seed).integers(0, 40, smooth.shape)).astype(np.uint8)


def encoded(image, file_format="PNG", **options):
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_wrong_checksum(png):
    """The last bit of the pixel data's checksum flipped: Pillow loads this without a word."""
    position = png.index(b"IEND") - 5
    return png[:position] + bytes([png[position] ^ 1]) + png[position + 1 :]


def raw_png(width, height, depth, colour_type, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def store(content, name="a.png", codec="original", short_side_px=None, annotated=False):
    return normalise(content, name, codec=codec, short_side_px=short_side_px, annotated=annotated)


def opened(stored):
    image = Image.open(io.BytesIO(stored.content))
    image.load()
    assert (image.height, image.width) == stored.image_px
    return image


RGB = Image.fromarray(pixels())
JPEG = encoded(RGB, "JPEG", quality=90)
PNG = encoded(RGB)


@pytest.mark.parametrize(("content", "name"), [(PNG, "a.png"), (JPEG, "a.JPEG"), (JPEG, "a.jpg"), (JPEG, "no suffix")])
def test_sound_bytes_are_kept(content, name):
    stored = store(content, name)
    assert stored.content == content and stored.changes == ""


def test_grey_is_sound_and_becomes_rgb_when_re_encoded():
    grey = encoded(RGB.convert("L"))
    assert store(grey).content == grey and store(grey).changes == ""
    assert opened(store(grey, codec="png")).mode == "RGB"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"hello, I am a text file\n" * 20, "not an image"),
        (JPEG[: len(JPEG) // 2], "broken"),
        (PNG[: len(PNG) // 2], "broken"),
        (JPEG[:40], "broken"),
        (PNG[:200] + bytes([PNG[200] ^ 1]) + PNG[201:], "broken"),
        (with_wrong_checksum(PNG), "broken"),
        (raw_png(30000, 30000, 8, 2, b""), "too many pixels"),
        (raw_png(9460, 9460, 8, 2, b""), "too many pixels"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "no agreed 8-bit range"),
    ],
)
def test_broken_bytes_are_refused_with_the_reason(content, reason):
    with pytest.raises(BadImage, match=reason):
        store(content, "a")


def test_the_pixel_limit_is_checked_before_decoding():
    assert MAX_PIXELS < 9460**2  # the case above: below Pillow's own error, above our limit
    with pytest.raises(BadImage, match="too many pixels"):
        store(raw_png(9460, 9460, 8, 2, b"this would not even decode"))


def test_sixteen_bit_grey_keeps_its_range():
    deep = np.linspace(0, 65535, 24 * 32).reshape(24, 32).astype(np.uint16)
    stored = store(encoded(Image.fromarray(deep)))
    assert "16 bits" in stored.changes
    np.testing.assert_array_equal(np.asarray(opened(stored))[..., 1], deep >> 8)


def test_sixteen_bit_colour_is_noticed_though_pillow_hides_it():
    deep = np.random.default_rng(0).integers(0, 65536, (4, 5, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    stored = store(raw_png(5, 4, 16, 2, rows))
    assert "16 bits" in stored.changes
    np.testing.assert_allclose(np.asarray(opened(stored)).astype(int), deep.astype(int) >> 8, atol=1)


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (encoded(RGB.convert("CMYK"), "JPEG"), "a.jpg", "mode CMYK"),
        (encoded(RGB.convert("P")), "a.png", "mode P"),
        (encoded(RGB.convert("P"), transparency=3), "a.png", "mode P"),
        (encoded(RGB.convert("RGBA")), "a.png", "mode RGBA"),
        (encoded(RGB.convert("LA")), "a.png", "mode LA"),
        (encoded(RGB.convert("1")), "a.png", "mode 1"),
        (encoded(RGB, transparency=(1, 2, 3)), "a.png", "transparent colour"),
        (PNG, "n02105855_2933.JPEG", "PNG named .jpeg"),
        (JPEG, "a.png", "JPEG named .png"),
        (encoded(RGB, "GIF", save_all=True, append_images=[Image.fromarray(pixels(seed=1))]), "a.gif", "first of 2"),
    ],
)
def test_odd_images_become_rgb_and_say_why(content, name, reason):
    stored = store(content, name)
    assert reason in stored.changes
    image = opened(stored)
    assert image.mode == "RGB" and image.format == "PNG" and not image.info
    with Image.open(io.BytesIO(content)) as original:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(original.convert("RGBA").convert("RGB")))


@pytest.mark.parametrize("file_format", ["BMP", "WEBP", "TIFF"])
def test_other_formats_are_stored_without_loss(file_format):
    content = encoded(RGB, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    stored = store(content, f"a.{file_format.lower()}")
    assert stored.changes == ""
    np.testing.assert_array_equal(np.asarray(opened(stored)), np.asarray(RGB))


def rotated(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(RGB, "JPEG", exif=exif)


def test_exif_rotation_is_applied_once():
    stored = store(rotated(6), "a.jpg")
    image = opened(stored)
    assert stored.changes == "EXIF orientation 6 applied" and image.getexif().get(0x0112) is None
    wanted = Image.open(io.BytesIO(rotated(6))).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))


def test_annotated_pixels_stay_where_they_are():
    stored = store(rotated(6), "a.jpg", annotated=True)
    assert "dropped" in stored.changes and opened(stored).getexif().get(0x0112) is None
    np.testing.assert_array_equal(np.asarray(opened(stored)), np.asarray(Image.open(io.BytesIO(rotated(6)))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_so_do_those_that_pillow_turns_on_its_own(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(RGB, "TIFF", exif=exif)
    stored = store(content, "a.tif", annotated=True)
    assert ("dropped" in stored.changes) == (orientation != 1)
    np.testing.assert_array_equal(np.asarray(opened(stored)), np.asarray(RGB))
    stored = store(content, "a.tif")
    assert ("applied" in stored.changes) == (orientation != 1)
    np.testing.assert_array_equal(
        np.asarray(opened(stored)), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    )


def test_a_broken_exif_block_does_no_harm():
    content = encoded(RGB, "JPEG", exif=b"Exif\0\0" + b"\xff\x13\x00broken" * 4)
    assert opened(store(content, "a.jpg")).size == RGB.size


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_thin_images_survive(size):
    stored = store(encoded(Image.new("RGB", size)), codec="jpeg", short_side_px=16)
    assert opened(stored).size == size


@pytest.mark.parametrize(
    ("size", "reduced"), [((640, 480), (341, 256)), ((480, 640), (256, 341)), ((200, 900), (200, 900))]
)
def test_the_short_side_is_reduced_never_enlarged(size, reduced):
    content = encoded(Image.new("RGB", size))
    stored = store(content, codec="jpeg", short_side_px=256)
    assert opened(stored).size == reduced and opened(stored).format == "JPEG"


SECOND = Image.fromarray(pixels(seed=1))
FRAMES = {
    "GIF": encoded(RGB.convert("P"), "GIF", save_all=True, append_images=[SECOND.convert("P")]),
    "TIFF": encoded(RGB, "TIFF", save_all=True, append_images=[SECOND]),
    "packed TIFF": encoded(RGB, "TIFF", save_all=True, append_images=[SECOND], compression="tiff_deflate"),
    "MPO": encoded(RGB, "MPO", save_all=True, append_images=[SECOND]),
    "PNG": encoded(RGB, "PNG", save_all=True, append_images=[SECOND]),
    "WEBP": encoded(RGB, "WEBP", save_all=True, append_images=[SECOND], lossless=True),
}
SUFFIX = {"packed TIFF": "tif", "MPO": "jpg"}


@pytest.mark.parametrize("codec", ["original", "jpeg", "png"])
@pytest.mark.parametrize("name", FRAMES)
def test_of_several_frames_the_first_is_kept_and_it_is_said(name, codec):
    stored = store(FRAMES[name], f"a.{SUFFIX.get(name, name.lower())}", codec)
    assert "first of 2 frames kept" in stored.changes and "named" not in stored.changes
    with Image.open(io.BytesIO(FRAMES[name])) as original:
        first = np.asarray(original.convert("RGB"))
    if codec != "jpeg":
        np.testing.assert_array_equal(np.asarray(opened(stored)), first)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "mpo", "jpe"])
def test_photos_of_phones_are_jpegs_by_name(suffix):
    assert store(FRAMES["MPO"], f"IMG_0001.{suffix}").changes == "first of 2 frames kept"
    assert store(FRAMES["MPO"], "a.png").changes == "MPO named .png; first of 2 frames kept"


def test_a_photo_of_a_phone_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = store(encoded(RGB, "MPO", save_all=True, append_images=[SECOND], exif=exif), "a.jpg")
    assert stored.changes == "EXIF orientation 6 applied; first of 2 frames kept" and opened(stored).size == (24, 32)


@pytest.mark.parametrize("name", FRAMES)
def test_files_cut_anywhere_are_refused_or_keep_their_first_frame(name):
    """Also where the first frame is sound and only a later one is broken."""
    content, kept = FRAMES[name], 0
    whole = np.asarray(opened(store(content, "a")))
    for end in range(1, len(content), max(1, len(content) // 400)):
        try:
            np.testing.assert_array_equal(np.asarray(opened(store(content[:end], "a"))), whole)
            kept += 1
        except BadImage as error:
            assert str(error) and "\n" not in str(error)
    assert kept < 400


@pytest.mark.parametrize("name", [*FRAMES, "JPEG", "one GIF", "BMP"])
def test_random_damage_is_refused_or_decodes(name):
    rng = np.random.default_rng(0)
    others = {"JPEG": JPEG, "one GIF": encoded(RGB, "GIF"), "BMP": encoded(RGB, "BMP")}
    content = (FRAMES | others)[name]
    for damage in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, len(damaged) if damage % 2 else min(400, len(damaged)), 3):
            damaged[position] = rng.integers(256)
        try:
            opened(store(bytes(damaged)))
        except BadImage as error:
            assert str(error)
