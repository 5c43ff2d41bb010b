"Files that are broken in every way we could think of: a square of bytes or a reason, never a crash, a hang or anything else."
import io
import os
import shutil
import struct
import subprocess
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from artgan.core import InputError
from artgan.files import find_images
from artgan.pixels import decode_file
from artgan.data import load_images
from artgan.check import check_images

FORMATS = {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp', 'BMP': 'bmp', 'TIFF': 'tif', 'GIF': 'gif'}
picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)).resize((120, 100))


def in_file(format, img=picture, **kwargs):
    file = io.BytesIO()
    img.save(file, format, **kwargs)
    return file.getvalue()


WHOLE = {format: in_file(format) for format in FORMATS}
FAULTS = {
    'empty': lambda d: b'',
    'one byte': lambda d: d[:1],
    'head only': lambda d: d[:24],
    'cut in half': lambda d: d[:len(d)//2],
    'middle zeroed': lambda d: d[:len(d)//3] + bytes(len(d)//3) + d[2*len(d)//3:],
    'middle left out': lambda d: d[:len(d)//3] + d[2*len(d)//3:],
    'reversed': lambda d: d[::-1],
    'words before it': lambda d: b'HTTP/1.1 200 OK\r\n\r\n' + d}


def bomb(side=200_000):
    "A PNG of a few bytes that says it has 40 thousand million pixels"
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(bytes(100))) + chunk(b'IEND', b'')


def decoded(data, path):
    "What becomes of a file with this content"
    path.write_bytes(data)
    return decode_file(find_images([path])[0], None, 32, 'center')


def is_right(found):
    "A square of bytes, or a reason in words"
    return (isinstance(found, str) and found != '') or (isinstance(found, np.ndarray) and found.shape == (32, 32, 3) and found.dtype == np.uint8)


@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize('format', FORMATS)
def test_forty_eight_kinds_of_broken_file(format, fault, tmp_path):
    found = decoded(FAULTS[fault](WHOLE[format]), tmp_path/f'picture.{FORMATS[format]}')
    assert is_right(found)
    if fault in ('empty', 'one byte', 'head only', 'reversed', 'words before it') or (format == 'PNG' and fault != 'words before it'): assert isinstance(found, str), 'there is no picture in it'
    if fault == 'empty': assert found == 'empty'


def test_a_bomb_a_pipe_a_loop_and_an_enormous_file(tmp_path, monkeypatch):
    assert 'too large' in decoded(bomb(), tmp_path/'bomb.png')
    folder = tmp_path/'art'
    folder.mkdir()
    (folder/'good.png').write_bytes(WHOLE['PNG'])
    os.mkfifo(folder/'pipe.jpg')  # reading from it would wait for ever
    (folder/'circle.jpg').symlink_to(folder/'circle.jpg')
    (folder/'nowhere.jpg').symlink_to(folder/'gone.jpg')
    (folder/'up').symlink_to(tmp_path)
    (folder/'big.jpg').write_bytes(b'')
    os.truncate(folder/'big.jpg', 2**31)  # a hole: it takes no room
    report = check_images(folder)
    reasons = dict(report.skipped)
    assert [f.name for f in report.used if '/' not in f.name] == ['good.png']
    assert reasons['pipe.jpg'] == 'not an ordinary file' and reasons['circle.jpg'] == reasons['nowhere.jpg'] == 'a link to nowhere' and 'too large' in reasons['big.jpg']


def test_what_may_not_be_read(tmp_path, monkeypatch):
    "Root may read everything, so the refusal is made here"
    folder = tmp_path/'art'
    (folder/'closed').mkdir(parents=True)
    for name in 'a.png', 'b.png', 'closed/c.png': (folder/name).write_bytes(WHOLE['PNG'])
    read, scandir = type(folder).read_bytes, os.scandir
    def no_reading(path):
        if path.name == 'b.png': raise PermissionError(13, 'Permission denied')
        return read(path)
    def no_looking(path):
        if str(path).endswith('closed'): raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)
    monkeypatch.setattr(type(folder), 'read_bytes', no_reading)
    monkeypatch.setattr(os, 'scandir', no_looking)
    report = check_images(folder)
    assert [f.name for f in report.used] == ['a.png'] and dict(report.skipped) == {'b.png': 'may not be read', 'closed': 'folder that cannot be opened (Permission denied)'}
    with pytest.warns(UserWarning, match='skipped 2 of'): pictures = load_images(folder, size=32)
    assert sorted(pictures.skipped) == sorted(report.skipped)


def test_odd_names_can_be_shown(tmp_path):
    folder = tmp_path/'art'
    folder.mkdir()
    names = ['a b.png', 'größe 漢字.png', 'line\nbreak.png', 'x'*240 + '.png', ' space.png', os.fsdecode(b'latin-\xe9.png'), '\x1b[31mred.png']
    for name in names: (folder/name).write_bytes(WHOLE['PNG'])
    report = check_images(folder)
    assert len(report.used) == len(names) == len(load_images(folder, size=32))
    text = repr(report) + report._repr_html_()
    text.encode()  # what cannot be encoded cannot be printed
    assert '\x1b' not in text and {f.name for f, _ in report.groups['odd name']} == {*names} - {'a b.png', 'größe 漢字.png'}


def test_report_and_training_agree_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path/'art.zip', 'w') as z:
        for format, suffix in FORMATS.items():
            z.writestr(f'{format}.{suffix}', WHOLE[format])
            for fault, f in FAULTS.items(): z.writestr(f'{fault}/{format}.{suffix}', f(WHOLE[format]))
        z.writestr('bomb.png', bomb())
        z.writestr('notes.txt', 'words')
    report = check_images(tmp_path/'art.zip')
    with pytest.warns(UserWarning, match='skipped'): pictures = load_images(tmp_path/'art.zip', size=64)
    assert [f.name for f in report.used] == pictures.files and sorted(report.skipped) == sorted(pictures.skipped) and 'bomb.png' in dict(report.skipped)


@pytest.mark.parametrize('format', FORMATS)
@settings(max_examples=int(os.environ.get('ARTGAN_MUTATIONS', 60)), deadline=30_000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8), cut=st.floats(0, 1) | st.just(1.))
def test_changed_bytes(format, changes, cut, tmp_path):
    data = bytearray(WHOLE[format])
    for where, value in changes: data[int(where*len(data))] = value
    data = bytes(data[:round(cut*len(data))])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = decoded(data, tmp_path/f'picture.{FORMATS[format]}')
    assert is_right(found)
    if format == 'PNG' and not isinstance(found, str):
        assert np.array_equal(found, decoded(WHOLE['PNG'], tmp_path/'whole.png')), 'every part of a PNG has a checksum'


def hostile_tar(file, mode):
    "A tar whose members want to be elsewhere, to be links and devices, to be enormous, or to come twice; two of them are pictures, and a name that leads upwards is passed over"
    def add(name, data=b'', kind=tarfile.REGTYPE, to=''):
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, to, len(data)
        tar.addfile(member, io.BytesIO(data) if kind == tarfile.REGTYPE else None)
    with tarfile.open(file, mode) as tar:
        add('good.png', WHOLE['PNG'])
        add('../../outside.jpg', WHOLE['JPEG'])
        add('/absolute.webp', WHOLE['WEBP'])
        add('link.png', kind=tarfile.SYMTYPE, to='/etc/passwd')
        add('hard.png', kind=tarfile.LNKTYPE, to='good.png')
        add('pipe.png', kind=tarfile.FIFOTYPE)
        add('null.png', kind=tarfile.CHRTYPE)
        add('bomb.png', bomb())
        add('good.png', b'not a picture')  # again, as `tar --append` leaves it: the last one counts
        add('good.png', WHOLE['PNG'])


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:bz2', 'w:xz'])
def test_a_hostile_tar(mode, tmp_path):
    (place := tmp_path/'a'/'b').mkdir(parents=True)
    hostile_tar(place/'art.tar', mode)
    before = sorted(tmp_path.rglob('*'))
    report = check_images(place/'art.tar')
    assert sorted(f.name for f in report.used) == ['/absolute.webp', 'good.png'] and 'too large' in dict(report.skipped)['bomb.png']
    with pytest.warns(UserWarning, match='skipped 1 of'): assert len(load_images(place/'art.tar', size=32)) == 2
    assert sorted(p for p in tmp_path.rglob('*') if 'cache' not in p.relative_to(tmp_path).parts[0]) == before, 'nothing is written under a name from the archive'


@pytest.mark.skipif(not shutil.which('tar'), reason='needs GNU tar')
@pytest.mark.parametrize('packed', [True, False])
def test_a_tar_with_an_enormous_hole(packed, tmp_path):
    "A few bytes that say they are two thousand million: the picture beside it is used, and nothing reads them"
    (tmp_path/'good.png').write_bytes(WHOLE['PNG'])
    (tmp_path/'big.jpg').write_bytes(b'\xff\xd8\xff\xe0')
    os.truncate(tmp_path/'big.jpg', 2**31)
    made = subprocess.run(['tar', '-S', '-czf' if packed else '-cf', 'art.tar', 'good.png', 'big.jpg'], cwd=tmp_path)
    if made.returncode: pytest.skip('this tar knows no holes')
    assert (tmp_path/'art.tar').stat().st_size < 2**20
    report = check_images(tmp_path/'art.tar')
    assert [f.name for f in report.used] == ['good.png'] and 'too large' in dict(report.skipped)['big.jpg']


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:bz2', 'w:xz'])
def test_a_damaged_tar_is_refused_in_words_or_read_as_far_as_it_goes(mode, tmp_path):
    hostile_tar(tmp_path/'whole.tar', mode)
    whole, rng = (tmp_path/'whole.tar').read_bytes(), np.random.default_rng(0)
    damaged = [whole[:int(len(whole)*share)] for share in (0, 0.01, 0.1, 0.3, 0.5, 0.8, 0.99)]
    for _ in range(20):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 5): data[at] ^= int(rng.integers(1, 256))
        damaged.append(bytes(data))
    ends = []
    for i, data in enumerate(damaged):
        (path := tmp_path/f'{i}.tar').write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', UserWarning)
                ends.append(len(load_images(path, size=32, cache=False)))
        except InputError as e: ends.append(str(e))
    assert all(0 < e <= 8 if isinstance(e, int) else e for e in ends) and any(isinstance(e, str) for e in ends)
