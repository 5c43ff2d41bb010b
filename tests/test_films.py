"Frames of animations and films as training pictures."
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artgan.check import check_images
from artgan.cli import main
from artgan.core import InputError
from artgan.data import load_images
from artgan.films import Frames, film_frames, film_length, frames_of, import_cv2, near_copies, quiet_cv2
from artgan.results import run_pictures
from artgan.train import fit
from artgan.video import open_writer


def scenes(n, frames=8, seed=0):
    "Frames of n scenes, each still but for grain"
    rng = np.random.default_rng(seed)
    for _ in range(n):
        scene = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((12, 16, 1)))
        for _ in range(frames): yield (scene + rng.integers(-3, 4, scene.shape)).clip(0, 255).astype(np.uint8)


def make_film(path, frames, codec=None):
    with quiet_cv2() as cv2:
        out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*(codec or {'.avi': 'MJPG', '.mp4': 'mp4v', '.webm': 'VP90'}[Path(path).suffix])), 25, (64, 48))
        for frame in frames: out.write(np.ascontiguousarray(frame[..., ::-1]))
        out.release()
    return Path(path)


@pytest.fixture(scope='module')
def film(tmp_path_factory): return make_film(tmp_path_factory.mktemp('films')/'a film.avi', scenes(10))


def test_a_film_is_trained_on_continued_and_found_again(film, tiny, capsys):
    kwargs = dict(size=32, every=4, out='run', recipe='classic', hold_out=0.2, **{**tiny, 'batch_size': 4})
    run = fit(film, epochs=1, **kwargs)
    about = json.loads(Path('run/config.json').read_text())['config']['data']
    assert about['every'] == 4 and about['pictures'] == 10 and run.epochs == 1
    assert fit(str(film), epochs=2, **kwargs).epochs == 2
    pictures, held = run_pictures('run')  # nobody says `every` again
    assert len(pictures) == 10 and len(held) == 2
    assert fit(film, epochs=3, **{**kwargs, 'every': 8}).epochs == 3, 'the same pictures: a scene is 8 frames'
    with pytest.raises(InputError, match='10.*5'): fit(film, epochs=3, **{**kwargs, 'every': 16})


def test_near_equal_frames_are_left_out_and_counted_again_from_the_cache(film, capsys):
    for _ in range(2):
        assert load_images(film, 32, every=2).files == [f'a film.avi#{8*k}' for k in range(10)]
        assert 'took 10 frames, and left out 30 that are nearly the same as an earlier frame' in capsys.readouterr().out
    report = check_images(film, 32, every=2, show=False)
    assert len(report.used) == 10 and '30 frames of films are left out' in report.summary and not report.skipped
    assert {(f.format, f.shape) for f in report.used} == {('AVI', (48, 64))} and not report.groups.get('exact copy')
    assert len(load_images(film, 32, show=False)) == 4, 'every 25th, of 80'


def test_all_frames_of_animations_from_folders_zips_and_alone(tmp_path):
    colours = [Image.new('RGB', (20, 20), c) for c in ('red', 'lime', 'blue', 'white', 'black')]
    folder = tmp_path/'pics'
    folder.mkdir()
    colours[0].save(folder/'b.gif', save_all=True, append_images=colours[1:])
    colours[2].save(folder/'a.png')
    colours[3].save(folder/'pages', 'TIFF', save_all=True, append_images=colours[4:])
    with zipfile.ZipFile('pics.zip', 'w') as z:
        for p in folder.iterdir(): z.write(p, p.name)
    first, whole = load_images(folder, 8, show=False), load_images(folder, 8, frames='all', show=False)
    assert first.files == ['a.png', 'b.gif', 'pages'] and whole.files == ['a.png', 'b.gif', *(f'b.gif#{i}' for i in (1, 2, 3, 4)), 'pages', 'pages#1']
    assert whole.images[:, 4, 4].tolist() == [[0, 0, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [255, 255, 255], [0, 0, 0]]
    assert load_images('pics.zip', 8, frames='all', show=False).fingerprint == whole.fingerprint != first.fingerprint
    assert load_images(folder, 8, frames='all', every=2, show=False).files == ['a.png', 'b.gif', 'b.gif#2', 'b.gif#4', 'pages']
    assert len(load_images(folder/'b.gif', 8, frames='all', show=False)) == 5
    for mode, channels in (('L', 1), ('RGBA', 4)):
        again = load_images(folder, 8, frames='all', mode=mode, show=False)
        assert again.files == whole.files and again.images.shape == (8, 8, 8, channels)
    report = check_images(folder, 8, frames='all', show=False)
    assert len(report.used) == 8 and {f.name: f.frames for f in report.used}['b.gif'] == 5
    assert [d for _, d in report.groups['animation or several pages']] == ['5, all are used', '2, all are used']
    assert main(['check', str(folder), '--frames', 'all', '--size', '8']) == 0 == main(['check', str(folder/'b.gif'), '--frames', 'all', '--every', '2'])


def test_the_default_is_as_before(tmp_path):
    "The names of caches, the fingerprints and the configurations of runs do not know of frames"
    Image.new('RGB', (20, 20), 'red').save('a.gif', save_all=True, append_images=[Image.new('RGB', (20, 20), 'blue')])
    assert frames_of('.') == '.' and frames_of(['a.gif']) == ['a.gif']
    from artgan.cache import _cache_path
    from artgan.files import find_images
    found = find_images('.')
    assert _cache_path(found, 'x', 64, 'center', 'c', 3, about={}) == _cache_path(found, 'x', 64, 'center', 'c', 3) != _cache_path(found, 'x', 64, 'center', 'c', 3, about=dict(frames='all'))


@pytest.mark.parametrize('suffix', ['.avi', '.mp4', '.webm'])
def test_a_damaged_film_is_refused_in_silence(suffix, tmp_path, capfd):
    "Cut short, overwritten, empty, no film at all: an InputError, no run, no picture in the cache, and nothing of FFmpeg's on stderr"
    writer = open_writer(tmp_path/'first.avi', 25, (64, 48))  # FFmpeg is asked for silence here, or never
    writer.release()
    whole = make_film(tmp_path/f'whole{suffix}', scenes(4, 10)).read_bytes()
    capfd.readouterr()
    broken = {'cut': whole[:len(whole)*2//3], 'header only': whole[:40], 'empty': b'', 'text': b'a list\n'*100}
    for name, data in broken.items():
        path = tmp_path/f'{name}{suffix}'
        path.write_bytes(data)
        with pytest.raises(InputError, match='cut short'): fit(path, size=32, epochs=1, batch_size=2, out='run', device='cpu', show=False)
        assert not Path('run').exists() and not [p for p in (tmp_path/'cache').glob('*') if p.suffix != '.lock']
    (tmp_path/f'noise{suffix}').write_bytes(whole[:300] + bytes(np.random.default_rng(0).integers(0, 256, len(whole) - 300, np.uint8)))
    try: load_images(tmp_path/f'noise{suffix}', 32, every=1, show=False)
    except InputError as error: assert 'cut short' in str(error)
    assert capfd.readouterr().err == ''


def test_opencv_is_as_it_was(tmp_path, film):
    logging = import_cv2().utils.logging
    before = logging.getLogLevel()
    with pytest.raises(InputError): [*film_frames(tmp_path/'none.mp4')]
    assert logging.getLogLevel() == before
    frames = film_frames(film, 1)
    next(frames), frames.close()  # interrupted
    assert logging.getLogLevel() == before and 'OPENCV_FFMPEG_LOGLEVEL' not in os.environ


def test_words_that_do_not_fit_are_refused(film, art):
    for data, words in ((art, dict(frames='all')), (art, dict(every=2)), ('.', dict(every=2)), (film, dict(every=0)), (film, dict(frames='some')), ('none.mp4', {})):
        with pytest.raises(InputError): fit(data, epochs=1, out='run', show=False, **words)
    assert not Path('run').exists() and isinstance(frames_of(film), Frames) and not isinstance(frames_of('https://a.b/c.mp4'), Frames)
    assert film_length(film) == 80


def test_lists_of_films_and_pictures(film, tmp_path):
    Image.new('RGB', (20, 20), 'red').save('a.png')
    other = make_film(tmp_path/'b.avi', scenes(2, seed=5))
    found = load_images([film, Path('a.png'), other], 16, every=8, show=False)
    assert load_images([film, other], 16, every=8, mode='L', show=False).images.shape == (12, 16, 16, 1)
    assert len(found) == 13 and found.files[0] == 'a.png' and found.files[-1].endswith('/b.avi#8')


def test_near_copies_of_many(art):
    "The first one that looks the same, and never a copy of a copy"
    paler = (art*0.9 + 20).clip(0, 255).astype(np.uint8)
    assert near_copies([*art, *paler, *art]).tolist() == [*[-1]*20, *range(20), *range(20)]


@pytest.mark.parametrize('suffix,written,codec', [('.ts', '.ts', 'mp4v'), ('.vob', '.vob', 'MPG2'), ('.m2v', '.m2v', 'MPG2'), ('.asf', '.asf', 'WMV2'), ('.3g2', '.3g2', 'mp4v'), ('.nut', '.nut', 'MJPG'),
                                                  ('.mjpeg', '.mjpeg', 'MJPG'), ('.dv', '.mkv', 'MJPG'), ('', '.mp4', 'mp4v'), ('.part', '.avi', 'MJPG')])
def test_whatever_opencv_opens_is_a_film(suffix, written, codec, tmp_path, capfd):
    "By its name, or because it is one"
    made, film = make_film(tmp_path/f'made{written}', scenes(4), codec), tmp_path/f'film{suffix}'
    if not made.exists() or not made.stat().st_size: pytest.skip('this OpenCV cannot write it')
    made.rename(film)
    capfd.readouterr()
    for source in film, [film]: assert len(load_images(source, 32, every=4, show=False, cache=False)) == 4
    report = check_images(film, 32, every=4, show=False)
    assert len(report.used) == 4 and {f.format for f in report.used} == {suffix[1:].upper() or 'film'}
    assert capfd.readouterr().err == ''


def test_what_is_no_film_is_refused_as_before(tmp_path, film):
    (tmp_path/'README').write_text('Dear Theo\n'*99)
    (tmp_path/'letter.nfo').write_text('Dear Theo\n'*99)
    (tmp_path/'film.txt').write_bytes(film.read_bytes())
    Image.new('RGB', (64, 48)).save(tmp_path/'picture', 'PNG')
    for name in 'README', 'letter.nfo', 'film.txt', 'picture':
        with pytest.raises(InputError, match='neither a folder nor'): fit(tmp_path/name, 1, out='run', show=False)
    with zipfile.ZipFile('packed', 'w') as z: z.write(tmp_path/'picture', 'a.png')
    os.mkdir('folder.ts')
    Image.new('RGB', (64, 48)).save('folder.ts/a.png')
    for source in 'packed', 'folder.ts': assert len(load_images(source, 32, show=False)) == 1
    assert not Path('run').exists()


def test_two_films_of_one_name_are_two_films_and_have_labels(tmp_path, tiny):
    films = []
    for seed, name in enumerate(('Monet', 'Goya')):
        (tmp_path/name).mkdir()
        films.append(make_film(tmp_path/name/'clip.avi', scenes(4, frames=2, seed=seed)))
    pictures = load_images(films, 16, every=2)
    assert len({*pictures.files}) == 8 and pictures.classes == ['Goya', 'Monet'] and len(check_images(films, 16, every=2, show=False).used) == 8
    for labels in ('folder', ['Monet', 'Goya'], {str(films[0]): 'Monet', str(films[1]): 'Goya'}):
        run = fit(films, 1, out=f'run-{type(labels).__name__}', size=16, every=2, labels=labels, least=1, **{**tiny, 'batch_size': 4})
        assert run.generator.classes == {'Goya': 4, 'Monet': 4}


def test_all_frames_of_an_animation_have_its_label(tmp_path, tiny):
    colours, files = [Image.new('RGB', (20, 20), c) for c in ('red', 'lime', 'blue')], []
    for i in range(3):
        colours[0].save(tmp_path/f'{i}.gif', save_all=True, append_images=colours[1:])
        files.append(tmp_path/f'{i}.gif')
    for labels in (['a', 'b', 'a'], {'0.gif': 'a', '1.gif': 'b', '2.gif': 'a'}):
        run = fit(files, 1, out=f'run-{type(labels).__name__}', size=16, frames='all', labels=labels, least=1, **{**tiny, 'batch_size': 4})
        assert run.generator.classes == {'a': 6, 'b': 3}
