"Pictures in every format and some broken: what comes out of `decode` and `load_images`."
import io
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from artgan.check import check_images
from artgan.core import InputError
from artgan.files import find_images
from artgan.films import decode_frames
from artgan.pixels import decode
from artgan.data import cache_folder, load_images, open_data
from artgan.demo import demo_art

ORANGE = (250, 140, 20)


def picture(mode='RGB', size=(48, 40)):
    "A flat orange picture with a black left edge, in any mode"
    img = Image.new('RGB', size, ORANGE)
    img.paste('black', (0, 0, 8, size[1]))
    return img.quantize(4) if mode == 'P' else img.convert(mode)


def in_file(img, format, **kwargs):
    file = io.BytesIO()
    img.save(file, format, **kwargs)
    return file.getvalue()


@pytest.mark.parametrize('format,mode,suffix', [('JPEG', 'RGB', 'jpg'), ('JPEG', 'L', 'JPG'), ('JPEG', 'CMYK', 'jpeg'), ('PNG', 'RGB', 'png'), ('PNG', 'L', 'png'), ('PNG', 'P', 'PNG'),
                                                ('PNG', '1', 'png'), ('PNG', 'RGBA', 'png'), ('PNG', 'LA', 'png'), ('WEBP', 'RGB', 'webp'), ('WEBP', 'RGBA', 'WebP'), ('BMP', 'RGB', 'bmp'),
                                                ('BMP', 'P', 'bmp'), ('TIFF', 'RGB', 'tif'), ('TIFF', 'CMYK', 'tiff'), ('TIFF', 'LAB', 'tiff'), ('GIF', 'P', 'gif'), ('GIF', 'L', 'gif')])
def test_every_format_and_mode(format, mode, suffix, tmp_path):
    data = in_file(picture(mode), format, **({'quality': 95} if format == 'JPEG' else {}))
    (tmp_path/'art').mkdir()
    (tmp_path/'art'/f'a picture, größer.{suffix}').write_bytes(data)
    out = load_images(tmp_path/'art', size=32).images[0]
    assert out.shape == (32, 32, 3) and out.dtype == np.uint8
    right = out[:, 12:].reshape(-1, 3).mean(0)
    wanted = np.array(ORANGE) if mode not in ('L', 'LA', '1') else np.full(3, out[16, 20, 0] if mode == '1' else 159)
    assert np.abs(right - wanted).max() < (128 if mode == '1' else 14), right


@pytest.mark.parametrize('dtype,format', [(np.uint16, 'PNG'), (np.uint16, 'TIFF'), (np.int32, 'TIFF'), (np.float32, 'TIFF')])
def test_deep_pictures_are_scaled_not_clipped(dtype, format):
    ramp = np.linspace(0, 1 if dtype == np.float32 else 65535, 64*64).reshape(64, 64).astype(dtype)
    out = decode(in_file(Image.fromarray(ramp), format), 64)
    assert out[0, 0, 0] == 0 and out[-1, -1, 0] == 255 and abs(int(out[32, 0, 0]) - 128) <= 1 and (np.diff(out[:, 0, 0].astype(int)) >= 0).all()


def test_pixels_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match='not numbers'): decode(in_file(Image.fromarray(np.full((8, 8), np.nan, np.float32)), 'TIFF'), 8)


def profile_of(space, kind, tag, content):
    "The bytes of an ICC profile (version 2) with one tag that says how this device's colours look"
    xyz = b'XYZ ' + bytes(4) + (white := struct.pack('>3i', 63190, 65536, 54061))
    desc = b'desc' + bytes(4) + struct.pack('>I', 9) + b'homemade\0' + bytes(78)
    parts = {b'desc': desc, b'cprt': b'text' + bytes(4) + b'none\0', b'wtpt': xyz, tag: content}
    table, body = struct.pack('>I', len(parts)), b''
    for name, part in parts.items():
        table += name + struct.pack('>II', 132 + 12*len(parts) + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack('>I4sI4s4s4s12s4s', 128 + len(table) + len(body), b'', 0x02100000, kind, space, b'XYZ ' if space == b'GRAY' else b'Lab ',
                       struct.pack('>6H', 2026, 1, 1, 0, 0, 0), b'acsp')
    return (head + bytes(28) + white).ljust(128, b'\0') + table + body


def linear_grey():
    "A grey whose values are light itself, not the roots of it that sRGB has"
    return profile_of(b'GRAY', b'mntr', b'kTRC', b'curv' + bytes(4) + struct.pack('>I', 0))


def black_ink():
    "Four inks of which black takes lightness in proportion (CIE L*), and the three others take a third each"
    identity = bytes(range(256))
    corners = b''.join(bytes([round(255*(1 - k)*(1 - (c + m + y)/3)), 128, 128]) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1))
    matrix = struct.pack('>9i', *np.eye(3, dtype=int).ravel()*65536)
    return profile_of(b'CMYK', b'prtr', b'A2B0', b'mft1' + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity*4 + corners + identity*3)


@pytest.mark.parametrize('format', ['TIFF', 'PNG', 'JPEG'])
def test_a_grey_picture_with_a_profile(format):
    "Linear light v looks as sRGB's 1.055 v^(1/2.4) - 0.055"
    for v in (30, 55, 128, 220):
        wanted = 255*(1.055*(v/255)**(1/2.4) - 0.055)
        seen = decode(in_file(Image.new('L', (40, 40), v), format, icc_profile=linear_grey()), 32)
        assert abs(seen.astype(float) - wanted).max() <= 2, (v, wanted, seen[0, 0])
    assert abs(decode(in_file(Image.new('L', (40, 40), 55), format), 32).astype(int) - 55).max() <= 1, 'without one it is as it stands'


@pytest.mark.parametrize('format', ['TIFF', 'JPEG'])
def test_a_picture_of_four_inks_with_a_profile(format):
    "Half of the black ink is L* = 50, sRGB's 119; Pillow's own way, which knows no paper and no ink, says 127"
    half = Image.new('CMYK', (40, 40), (0, 0, 0, 128))
    assert abs(decode(in_file(half, format, icc_profile=black_ink()), 32).astype(int) - 119).max() <= 2
    assert abs(decode(in_file(half, format), 32).astype(int) - 127).max() <= 2


@pytest.mark.parametrize('mode,profile', [('RGB', linear_grey()), ('L', black_ink()), ('CMYK', linear_grey()), ('CMYK', black_ink()[:200]), ('RGB', b'no profile'), ('L', b'')])
def test_a_profile_that_does_not_fit_or_is_broken_changes_nothing(mode, profile):
    plain = Image.new(mode, (40, 40), {'RGB': ORANGE, 'L': 90, 'CMYK': (10, 20, 30, 40)}[mode])
    assert np.array_equal(decode(in_file(plain, 'TIFF', icc_profile=profile), 32), decode(in_file(plain, 'TIFF'), 32))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_exif_orientation(orientation):
    "A picture stored in any of the eight ways comes out upright"
    upright = Image.new('RGB', (40, 40), 'white')
    upright.paste('red', (0, 0, 20, 20))
    upright.paste('blue', (20, 0, 40, 20))
    # what a camera would have stored, so that the orientation's transposition gives `upright`
    undo = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = decode(in_file(upright.transpose(undo) if undo is not None else upright, 'JPEG', exif=exif, quality=95), 40).astype(int)
    assert np.abs(out[8, 8] - [254, 0, 0]).max() < 12 and np.abs(out[8, 32] - [0, 0, 254]).max() < 12 and out[32, 20].min() > 240


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('format', ['JPEG', 'TIFF', 'PNG', 'WEBP', 'AVIF'])
def test_the_doctor_measures_a_turned_picture_as_it_is_decoded(format, orientation, tmp_path):
    "Pillow turns a TIFF by itself while it reads it, and says the new size before"
    for i in range(4):
        exif = Image.Exif()
        exif[0x0112] = orientation  # to save an AVIF takes it away
        (tmp_path/f'{i}.{format.lower()}').write_bytes(in_file(Image.new('RGB', (300, 100), (60*i, 9, 9)), format, exif=exif))
    report, lies = check_images(tmp_path, 32, show=False), orientation > 4
    assert {f.shape for f in report.used} == {(300, 100) if lies else (100, 300)}
    padded = load_images(tmp_path, 30, 'pad', cache=False, show=False).images[0]
    assert (padded[:, 0].min() > 250) == lies != (padded[0].min() > 250), 'what is decoded has white beside it, or above'
    assert f'4 of 4 are {"upright" if lies else "wide"}' in report.summary and ('turned upright' in report.groups) == (orientation > 1)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'RGBA', '1', 'LA'])
@pytest.mark.parametrize('format', ['ICNS', 'ICO', 'PNG', 'WEBP', 'TIFF', 'DDS', 'TGA'])
def test_what_a_format_says_of_its_transparency_before_it_is_read(format, mode, tmp_path):
    "An icon of Apple says RGBA before, and is what its pictures are afterwards"
    try: data = in_file(picture(mode, (64, 64)), format)
    except OSError: pytest.skip('this format has no such mode')
    (tmp_path/f'a.{format.lower()}').write_bytes(data)
    assert load_images(tmp_path, 32, cache=False, show=False).images.shape == (1, 32, 32, 3)
    (found,) = check_images(tmp_path, 32, show=False).files
    assert found.used and found.see_through == 0


def test_a_folder_without_a_readable_picture_is_reported_without_a_warning(tmp_path):
    (tmp_path/'a.jpg').write_bytes(b'no picture')
    with warnings.catch_warnings(action='error'): assert 'use 0 pictures' in check_images(tmp_path, 32, show=False).summary


def test_transparency_is_laid_over_white():
    clear = Image.new('RGBA', (16, 16), (0, 0, 0, 0))
    for format in ('PNG', 'WEBP', 'TIFF'): assert (decode(in_file(clear, format), 16) > 250).all(), format
    palette = picture('P')
    palette.info['transparency'] = palette.getpixel((0, 0))
    assert (decode(in_file(palette, 'PNG', transparency=palette.getpixel((0, 0))), 40)[20, 0] > 200).all()


def test_the_first_frame_of_an_animation():
    frames = [Image.new('RGB', (16, 16), c) for c in ('red', 'blue')]
    for format in ('GIF', 'WEBP', 'TIFF'):
        data = in_file(frames[0], format, save_all=True, append_images=frames[1:], **({'lossless': True} if format == 'WEBP' else {}))
        assert decode(data, 16)[8, 8].tolist() == [255, 0, 0] or np.abs(decode(data, 16)[8, 8].astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (200, 3), (64, 64), (65, 64), (1000, 10)])
@pytest.mark.parametrize('crop', ['center', 'pad', 'stretch'])
def test_every_shape_becomes_a_square(size, crop): assert decode(in_file(Image.new('RGB', size, ORANGE), 'PNG'), 32, crop).shape == (32, 32, 3)


def test_broken_files_are_skipped_counted_and_named(tmp_path):
    good, art = in_file(picture(), 'JPEG'), tmp_path/'art'
    art.mkdir()
    for i in range(4): (art/f'good{i}.jpg').write_bytes(good)
    broken = {'empty.jpg': b'', 'cut.jpg': good[:len(good)//2], 'text.png': b'these are words', 'zeros.gif': bytes(500), 'head.png': in_file(picture(), 'PNG')[:40],
              'cut.webp': in_file(picture(), 'WEBP')[:60], 'cut.tif': in_file(picture(), 'TIFF')[:200]}
    for name, data in broken.items(): (art/name).write_bytes(data)
    (art/'link.jpg').symlink_to(art/'nowhere.jpg')
    (art/'notes.txt').write_text('not a picture, and not meant to be one')
    with pytest.warns(UserWarning, match='skipped 8 of 12 files') as caught: pictures = load_images(art, size=16)
    assert len(pictures) == 4 and {name for name, _ in pictures.skipped} == {*broken, 'link.jpg'}
    assert sum(name in str(caught[0].message) for name in [*broken, 'link.jpg']) == 5, 'the first five are named in the warning'
    with pytest.warns(UserWarning, match='skipped 8 of 12'): assert len(load_images(art, size=16)) == 4, 'said again when it comes from the cache'


def test_a_folder_of_nothing_usable(tmp_path):
    (tmp_path/'art').mkdir()
    (tmp_path/'art'/'a.jpg').write_bytes(b'')
    with pytest.raises(InputError, match='none of the 1 picture files can be read; the first: a.jpg'): load_images(tmp_path/'art')
    assert {p.suffix for p in cache_folder().iterdir()} <= {'.lock'}, 'no trace in the cache'


def test_a_broken_zip_and_a_locked_one(tmp_path):
    data = in_file(picture(), 'PNG')
    with zipfile.ZipFile('art.zip', 'w') as z:
        for i in range(20): z.writestr(f'{i}.png', data)
    whole = Path('art.zip').read_bytes()
    Path('half.zip').write_bytes(whole[:len(whole)//2])
    with pytest.raises(InputError, match='neither a folder nor a readable zip'): find_images('half.zip')
    damaged = bytearray(whole)
    damaged[60] ^= 255  # inside the first member: its checksum no longer fits
    Path('damaged.zip').write_bytes(damaged)
    with pytest.warns(UserWarning, match='skipped 1 of 20'): assert len(load_images('damaged.zip', size=16)) == 19


def test_an_interrupted_decoding_leaves_no_cache(tmp_path, monkeypatch):
    (tmp_path/'art').mkdir()
    for i in range(30): (tmp_path/'art'/f'{i}.png').write_bytes(in_file(picture(), 'PNG'))
    import artgan.cache
    real = artgan.cache.decode_all
    def interrupted(*args, **kwargs):
        for k, item in enumerate(real(*args, **kwargs)):
            if k == 10: raise KeyboardInterrupt
            yield item
    with monkeypatch.context() as m:
        m.setattr(artgan.cache, 'decode_all', interrupted)
        with pytest.raises(KeyboardInterrupt): load_images(tmp_path/'art', size=16)
    assert {p.suffix for p in cache_folder().iterdir()} <= {'.lock'}
    assert len(load_images(tmp_path/'art', size=16)) == 30


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path/'art').mkdir()
    (tmp_path/'art'/'a.png').write_bytes(in_file(picture(), 'PNG'))
    (tmp_path/'file').write_text('')
    with pytest.raises(InputError, match='cache=False'): load_images(tmp_path/'art', size=16, cache=tmp_path/'file'/'cache')
    assert len(load_images(tmp_path/'art', size=16, cache=False)) == 1


def test_a_changed_picture_is_decoded_again(tmp_path):
    (tmp_path/'art').mkdir()
    file = tmp_path/'art'/'a.png'
    file.write_bytes(in_file(picture(), 'PNG'))
    first = load_images(tmp_path/'art', size=16)
    file.write_bytes(in_file(Image.new('RGB', (48, 40), 'white'), 'PNG'))
    os.utime(file, ns=(1, 1))
    second = load_images(tmp_path/'art', size=16)
    assert first.fingerprint != second.fingerprint and (second.images == 255).all()


def test_photographs_of_an_iphone(tmp_path):
    "Real HEIC files, by name or by content, turned upright, and a damaged one"
    pillow_heif = pytest.importorskip('pillow_heif', reason='the extra heic is not installed')
    pillow_heif.register_heif_opener()
    art = demo_art(5, size=96)[0]
    for name, picture in zip(('a.HEIC', 'b.heif', 'no suffix', 'wrong.jpg'), art): Image.fromarray(picture).save(tmp_path/name, format='HEIF', quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(art[4]).save(tmp_path/'turned.heic', quality=95, exif=exif.tobytes())
    (tmp_path/'cut.heic').write_bytes((tmp_path/'a.HEIC').read_bytes()[:900])
    with pytest.warns(match='cut.heic'): found = load_images(tmp_path, size=96, show=False, cache=False)
    meant = dict(zip(('a.HEIC', 'b.heif', 'no suffix', 'wrong.jpg', 'turned.heic'), (*art[:4], np.rot90(art[4], -1))))
    assert sorted(found.files) == sorted(meant) and [name for name, _ in found.skipped] == ['cut.heic']
    for name, picture in zip(found.files, found.images): assert np.abs(picture - meant[name].astype(float)).mean() < 4, name


WITHOUT_SUFFIX = {'JPEG': 'RGB', 'PNG': 'RGB', 'GIF': 'RGB', 'TIFF': 'RGB', 'WEBP': 'RGB', 'BMP': 'RGB', 'AVIF': 'RGB', 'JPEG2000': 'RGB', 'QOI': 'RGB', 'DDS': 'RGB', 'ICO': 'RGBA', 'ICNS': 'RGB',
                  'PPM': 'RGB', 'PGM': 'L', 'PBM': '1', 'PFM': 'F', 'PCX': 'RGB', 'SGI': 'RGB', 'grey SGI': 'L', 'IM': 'RGB', 'MSP': '1', 'XBM': '1', 'BLP': 'P', 'BigTIFF': 'RGB', 'grey PCX': 'L'}


def test_pictures_without_a_suffix_or_with_one_that_says_nothing(tmp_path, capsys):
    "In a folder and in a zip; what has no beginning of its own is passed over and counted"
    formats = {'PGM': 'PPM', 'PBM': 'PPM', 'PFM': 'PPM', 'grey SGI': 'SGI', 'grey PCX': 'PCX', 'BigTIFF': 'TIFF'}
    with zipfile.ZipFile('all.zip', 'w') as z:
        for name, mode in WITHOUT_SUFFIX.items():
            data = in_file(picture(mode, (64, 64)), formats.get(name, name), **({'big_tiff': True} if name == 'BigTIFF' else {}))
            for file in (name, f'{name} v1.2', f'{name}.dat'): z.writestr(file, data)
        z.writestr('P6 by hand', b'P6 # a remark\n2\t2 255 ' + bytes(12))
        z.writestr('Motorola', in_file(picture(), 'TIFF', big_tiff=True).replace(b'II+\0', b'MM\0+', 1))  # cannot be decoded, and is named
        for file, data in {'a TGA': in_file(picture(), 'TGA'), 'a letter': b'P1 is dear to me', 'a list': b'\n\2\n', 'an icon': b'\0\0\1\0' + bytes(90)}.items(): z.writestr(file, data)
    zipfile.ZipFile('all.zip').extractall(tmp_path/'folder')
    for source in tmp_path/'folder', 'all.zip':
        with pytest.warns(match='skipped 1 of .* Motorola'): found = load_images(source, 32, cache=False)
        assert {*found.files} == {*(f'{name}{end}' for name in WITHOUT_SUFFIX for end in ('', ' v1.2', '.dat')), 'P6 by hand'}
        assert 'passed over 4 files that are no pictures: 4 no suffix' in capsys.readouterr().out


@pytest.mark.parametrize('format', ['PNG', 'TIFF'])
def test_sixteen_bits_that_hold_eight(format, tmp_path):
    "Levels that are there already stay as they are; of 12 bits nobody can know, so the doctor says it; one dark page of several is a dark page"
    levels = demo_art(1, size=64)[0][0][..., 0].astype(np.uint16)
    assert levels.max() > 100
    assert np.array_equal(decode(in_file(Image.fromarray(levels), format), 64)[..., 0], levels)
    assert np.array_equal(decode(in_file(Image.fromarray(levels*257), format), 64)[..., 0], levels)
    assert decode(in_file(Image.fromarray(levels), format), 64, decoder=2).max() <= 1, 'as it was in 0.1'
    (tmp_path/f'a.{format.lower()}').write_bytes(in_file(Image.fromarray(levels*16), format))
    (tmp_path/f'b.{format.lower()}').write_bytes(in_file(Image.fromarray(levels*257), format))
    noted = check_images(tmp_path, 64, show=False).groups['16 bits of which few are used']
    assert [(f.name, detail) for f, detail in noted] == [(f'a.{format.lower()}', f'the largest number is {levels.max()*16:,} of 65,535: it comes out dark')]
    if format == 'PNG': return
    pages = in_file(Image.fromarray(levels), 'TIFF', save_all=True, append_images=[Image.fromarray(levels*200)])
    assert decode(pages, 64).max() <= 1 and decode_frames(pages, 64)[1].max() > 80


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int64, np.int16])
def test_masks_are_black_and_white(dtype):
    "As arrays, tensors and items; but pictures that are nearly black stay so"
    masks = demo_art(20, size=32)[0][..., :1] > 100
    white, given = masks*np.uint8(255), masks.astype(dtype)
    for data in given, torch.from_numpy(given), [*given], [*torch.from_numpy(given)], given[..., 0], TensorDataset(torch.from_numpy(given).permute(0, 3, 1, 2)):
        assert np.array_equal(open_data(data, None, 8, 'center', 0., 0, 'cpu')[0].images, white)
    if dtype == bool: return
    dark = np.concatenate([given[:19], given[19:]*2])
    for data in dark, [*dark]: assert open_data(data, None, 8, 'center', 0., 0, 'cpu')[0].images.max() == 2
