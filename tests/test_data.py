"Sizes from numpy, paths with ~, held-out parts without copies, the cache, and what is left alone."
import email
import io
import json
import random
import weakref
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import artgan.cache
from artgan.cache import clear_cache, list_cache
from artgan.check import check_images
from artgan.core import InputError
from artgan.data import Batches, load_images, open_data, repeats, show_batch, split_indices
from artgan.demo import demo_art
from artgan.files import find_images
from artgan.results import run_pictures
from artgan.train import fit


@pytest.fixture
def home(tmp_path, monkeypatch):
    "A home folder with twelve pictures in two classes in art/"
    monkeypatch.setenv('HOME', str(tmp_path))
    for i, picture in enumerate(demo_art(12, size=32)[0]):
        folder = tmp_path/'art'/'ab'[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder/f'{i}.png')
    return tmp_path


def test_paths_in_the_home_folder_and_sizes_of_numpy(home):
    pictures = load_images('~/art', size=np.int64(16), cache='~/mine', workers=np.int32(1))
    assert len(pictures) == len(find_images('~/art')) == len(check_images('~/art', size=np.int64(16)).used) == 12
    assert (home/'mine').is_dir() and [c.pictures for c in list_cache('~/mine')] == [12]
    assert len(load_images([f'~/art/{f}' for f in pictures.files], size=16)) == 12
    for bad in (dict(size=16.), dict(size=True), dict(workers=0), dict(cache=3), dict(verify='yes'), dict(crop=None)):
        with pytest.raises(InputError): load_images('~/art', **bad)


def test_opening_reads_no_pixels_until_asked(home, monkeypatch):
    first = load_images(home/'art', size=16)
    read = []
    real = artgan.cache.fingerprint
    monkeypatch.setattr(artgan.cache, 'fingerprint', lambda images: read.append(len(images)) or real(images))
    assert load_images(home/'art', size=16).fingerprint == first.fingerprint and read == []
    assert load_images(home/'art', size=16, verify=True).fingerprint == first.fingerprint and read == [12]


def test_a_cache_of_an_earlier_version_is_checked_and_taken_over(home, monkeypatch):
    load_images(home/'art', size=16)
    path = list_cache()[0].path.with_suffix('.json')
    about = json.loads(path.read_text())
    del about['array'], about['checksum']
    path.write_text(json.dumps({**about, 'checksum': artgan.cache.json_digest(about)}))
    monkeypatch.setattr(artgan.cache, '_make_cache', None)
    load_images(home/'art', size=16)
    assert json.loads(path.read_text())['array'][0] == 12*16*16*3


def test_clearing(home):
    load_images(home/'art', size=16), load_images(home/'art', size=8)
    assert clear_cache(older_than_days=1) == [] and len(clear_cache()) == 2 and list_cache() == []
    assert len(load_images(home/'art', size=16)) == 12


@pytest.mark.parametrize('shuffle', [True, False])
def test_a_part_gives_the_batches_of_its_copy(home, shuffle):
    pictures = load_images(home/'art', size=16)
    at = split_indices(12, 0.3, 5)[0]
    part, copied = Batches(pictures, 3, shuffle, 5, indices=at), Batches(pictures.images[at], 3, shuffle, 5)
    assert np.shares_memory(part.images.whole.numpy(), pictures.images)
    for _ in range(3):
        for (x, labels), (y, _) in zip(part, copied, strict=True): assert torch.equal(x, y)
    assert sorted(torch.cat([l for _, l in part]).tolist()) == sorted(pictures.labels[at].tolist())
    held, _ = open_data(pictures, None, 3, 'center', 0.3, 5, 'cpu')
    assert torch.equal(next(iter(held))[0], next(iter(Batches(pictures.images[at], 3, seed=5)))[0]) and np.shares_memory(held.images.whole.numpy(), pictures.images)


def test_from_the_end_slices_and_copies(home):
    pictures = load_images(home/'art', size=16)
    assert torch.equal(pictures[-1][0], pictures[11][0]) and len([*pictures]) == 12 and pictures[2:5][0].shape == (3, 3, 16, 16)
    with pytest.raises(IndexError): pictures[12]
    with pytest.raises(TypeError): pictures['first']
    assert repeats(pictures).tolist() == [] and repeats(np.concatenate([pictures.images]*2)).tolist() == [*range(12, 24)]


@pytest.mark.parametrize('bad', [{'label': torch.zeros(2)}, {}, ['a.jpg'], [], 'art', torch.zeros(3), [{'image': 'a.jpg'}]])
def test_what_cannot_be_shown_is_refused(bad):
    with pytest.raises(InputError): show_batch(bad)


def test_a_dictionary_is_shown():
    assert show_batch([{'label': torch.zeros(2), 'pixel_values': torch.zeros(2, 3, 8, 8)}]).axes[0].images


def test_the_random_state_of_the_caller_is_left_alone(home):
    def states(): return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    before = states()
    pictures = load_images(home/'art', size=16)
    batches, _ = open_data(pictures, None, 3, 'center', 0.3, 5, 'cpu')
    [*batches], [*Batches(pictures, 3)], demo_art(3, size=16), repeats(pictures), check_images(home/'art'), show_batch(pictures), load_images(home/'art', size=8, cache=False)
    assert states() == before


@pytest.mark.parametrize('address,advice', [('s3://bucket/pics', 'Download it first'), ('gs://bucket/pics.zip', 'Download it first'), ('ftp://a.b/pics.zip', 'Download it first'), ('hf://datasets/a/b', 'Download it first'),
                                            ('s3://bucket/film.mp4', 'Download it first'), ('file:///tmp/pics.zip', 'pass its path'), (Path('https://a.b/pics.zip'), 'as text'), (Path('https://a.b/film.mp4'), 'as text'),
                                            (['https://a.b/pics.zip'], 'by itself'), (['HTTPS://a.b/a.jpg', 'b.jpg'], 'by itself'), ([Path('s3://b/film.mp4')], 'Download it first'), ('www.a.b/pics.zip', 'put https:// before it'),
                                            ('http://[bad', 'no address'), ('https://[bad]/pics.zip', 'no address'), (' https://a.b/pics.zip', 'by itself')], ids=str)
def test_an_address_that_cannot_be_fetched_is_refused_with_what_to_do(address, advice, tmp_path):
    for f in (lambda: fit(address, 1, device='cpu', show=False), lambda: load_images(address), lambda: check_images(address), lambda: fit(address, 1, out='run', frames='all', show=False)):
        with pytest.raises(InputError, match=advice): f()
    assert not [p for p in tmp_path.rglob('*') if p.name != 'cache']


def test_what_is_called_like_an_address_and_is_there_is_read(home):
    (home/'art'/'a').rename('s3:')
    assert len(load_images('s3://', size=16)) == len(load_images([p for p in Path('s3:').iterdir()], size=16)) == 6


def test_a_run_remembers_the_address_of_its_pictures(home, monkeypatch):
    "And what is made of it later finds them in the cache"
    with zipfile.ZipFile('pics.zip', 'w') as z:
        for p in (home/'art').rglob('*.png'): z.write(p, p.name)
    class Answer(io.BytesIO): headers = email.message_from_string('Content-Type: application/zip')
    monkeypatch.setattr('urllib.request.urlopen', lambda request, timeout: Answer(Path('pics.zip').read_bytes()))
    run = fit('https://a.b/pics.zip', 1, size=32, batch_size=4, latent_size=8, width=4, device='cpu', show=False, score_every=0)
    monkeypatch.setattr('urllib.request.urlopen', None)
    assert run.path == Path('runs/pics') and len(run_pictures(run)[0]) == 12


def test_transparent_pictures_are_premultiplied_once(home):
    "However pictures of ours come: as they are, a part of them, one at a time, through a loader"
    (home/'clear').mkdir()
    for i in range(4): Image.new('RGBA', (16, 16), (200, 100, 50, 128)).save(home/'clear'/f'{i}.png')
    pictures = load_images(home/'clear', size=16, mode='RGBA')
    for data in (pictures, torch.utils.data.Subset(pictures, [2, 0, 1]), [*pictures], torch.utils.data.DataLoader(pictures, 2)):
        first = next(iter(open_data(data, None, 2, 'center', 0, 5, 'cpu')[0]))
        pixel = (first if torch.is_tensor(first) else first[0])[0, :, 0, 0]
        assert ((pixel + 1)*127.5).round().tolist() == [100, 50, 25, 128], type(data)
    shown = [show_batch(data, 4).axes[0].images[0].get_array() for data in (pictures, torch.utils.data.DataLoader(pictures, 4))]
    assert np.abs(shown[0] - shown[1]).max() < 0.01


class Drawn(torch.utils.data.Dataset):
    "Pictures that draw from every generator there is"
    def __len__(self): return 12
    def __getitem__(self, i): return torch.rand(3, 16, 16)*2 - 1 + 0*(random.random() + np.random.rand())


@pytest.mark.parametrize('look', [show_batch, lambda batches: open_data(batches, None, 4, 'center', 0, 5, 'cpu')], ids=['show_batch', 'open_data'])
def test_what_is_looked_at_stays_where_it_stands(home, look):
    own = torch.Generator().manual_seed(3)
    loader = torch.utils.data.DataLoader(Drawn(), 4, shuffle=True, generator=own)
    def states(): return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(), own.get_state().tolist()
    before = states()
    look(loader), look(torch.utils.data.DataLoader(Drawn(), batch_sampler=torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(Drawn(), generator=own), 4, False)))
    assert states() == before
    pictures = load_images(home/'art', size=16)
    def rest(batches): return [x.sum().item() for x, _ in batches]
    seen, unseen = (Batches(pictures, 4, seed=1) for _ in range(2))
    look(seen)
    assert rest(seen) == rest(unseen)
    for batches in (seen, unseen):
        next(iter(batches))
        batches.load_state_dict({'epoch_start': batches.epoch_start, 'given': 2})
    look(seen)
    assert len(one := rest(seen)) == 1 and one == rest(unseen), 'the rest of an epoch'


def test_what_is_probed_at_0_and_is_no_list_of_pictures():
    class Stream(torch.utils.data.IterableDataset):
        def __len__(self): return 2
        def __iter__(self): return iter([torch.zeros(2, 3, 16, 16)]*2)
    assert len(open_data(Stream(), None, 2, 'center', 0, 5, 'cpu')[0]) == 2
    class Column(dict):
        "As a table or an archive of numpy's: it has a length, and no place 0"
        def __iter__(self): return iter(['a', 'b'])
    np.savez(packed := io.BytesIO(), pictures=np.zeros((4, 16, 16, 3), np.uint8))
    packed.seek(0)
    for wrong in (np.load(packed), type('Series', (), dict(__len__=lambda s: 2, __getitem__=lambda s, i: {1: 'a', 2: 'b'}[i], __iter__=lambda s: iter('ab')))()):
        with pytest.raises(InputError, match='data gives str'): open_data(wrong, None, 2, 'center', 0, 5, 'cpu')


def test_of_many_large_pictures_one_is_held_at_a_time():
    photos, most = [], []
    class Photos(torch.utils.data.Dataset):
        def __len__(self): return 20
        def __getitem__(self, i):
            most.append(sum(photo() is not None for photo in photos))
            photos.append(weakref.ref(photo := Image.new('RGB', (300, 200), (i, 0, 0))))
            return photo, 0
    batches, about = open_data(Photos(), 16, 4, 'center', 0, 5, 'cpu')
    assert about['data']['pictures'] == 20 and sorted(batches.images[:, 0, 0, 0].tolist()) == [*range(20)] and max(most) <= 2


def test_a_picture_listed_twice_is_counted_twice(home):
    files = [home/'art'/'a'/'0.png', home/'art'/'b'/'1.png', home/'art'/'a'/'0.png']
    report = check_images(files, size=16, show=False)
    assert len(report.used) == 3 and [note for f in report.used for note in f.notes] == [('exact copy', f'of {files[0].as_posix()}')]
