"What a run leaves, looked at: in a notebook cell as a reader would type it, and without a trace in the process."
import os
import random
import re
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from artgan.class_scores import score_classes
from artgan.core import InputError
from artgan.demo import demo_art
from artgan.figures import load_snapshot, plot_activations, plot_logits, snapshots
from artgan.originality import nearest
from artgan.replays import replay
from artgan.results import Run, curve_table, run_pictures, score_run
from artgan.samples import cut_out, write_grid
from artgan.train import fit
from artgan.video import make_video, open_writer
from artgan.points import draw_latents, latent_info, read_latent_info
from artgan.weights import generate, load_generator, save_pictures
from conftest import equal

README = Path(__file__).resolve().parent.parent/'README.md'


@pytest.fixture
def run(art, tiny): return fit(art, 2, out='run', **tiny)


def executed(*cells):
    "The outputs of each cell, in a kernel of its own"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    book.metadata['kernelspec'] = {'name': 'python3', 'display_name': 'python3', 'language': 'python'}
    NotebookClient(book, timeout=300).execute()
    return [cell.outputs for cell in book.cells]


def shown(outputs):
    "'picture' or 'video' for each one that a reader sees"
    kinds = []
    for data in (o['data'] for o in outputs if 'data' in o):
        if 'image/png' in data: kinds.append('picture')
        elif '<video' in data.get('text/html', ''): kinds.append('video')
    return kinds


def test_every_call_of_the_readme_shows_its_picture(run):
    code = next(c for c in re.findall(r'```python\n(.*?)```', README.read_text(encoding='utf-8'), re.S) if 'fit(' in c)
    calls = re.sub(r"fit\(.*?\)", "fit(demo_art(20, size=32)[0], 2, out='run', batch_size=8, latent_size=8, width=4, device='cpu', show=False)", code)
    assert calls != code and len(re.findall(r'(?:show|plot)_\w+\(', calls)) == 5  # what is counted below is what the README calls
    outputs = executed('%matplotlib inline\nfrom artgan.demo import demo_art', calls)[1]
    assert sorted(shown(outputs)) == ['picture']*4 + ['video']


def test_a_plot_is_seen_wherever_its_call_stands_and_once(run):
    cells = ["%matplotlib inline\nfrom artgan.results import *\nfrom artgan.video import *", "plot_losses('run')\nx = 1", "for i in range(2): plot_scores('run')",
             "plot_losses('run');", "plot_losses('run')", "fig = plot_losses('run')\nfig.axes[0].set_title('mine')\nplot_scores('run')\nfig", "fig",
             "film = make_video('run')\nshow_video(film)\nx = 1", "show_video(film);", "player = show_video(film)\nplayer", "player"]
    counts = [len(shown(outputs)) for outputs in executed(*cells)]
    assert counts == [0, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1]


def test_four_films_at_once_leave_the_streams_alone(tmp_path):
    before, writers = os.fstat(2), []
    def film(i):
        for j in range(5):
            writers.append(open_writer(tmp_path/f'{i}-{j}.webm', 5, (64, 64)))
            writers[-1].release()
    threads = [threading.Thread(target=film, args=(i,)) for i in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(writers) == 20 and os.path.samestat(before, os.fstat(2))


def test_no_film_is_overwritten(run):
    paths = [make_video(run) for _ in range(3)]
    assert [p.name for p in paths] == ['training.webm', 'training-0002.webm', 'training-0003.webm']
    before = paths[0].read_bytes()
    with pytest.raises(InputError, match='exists already'): make_video(run, paths[0])
    assert paths[0].read_bytes() == before


def test_a_run_comes_back_from_its_folder(run, art):
    again = Run.load('run')
    assert equal([*again], [*run]) and again.epochs == 2 and again.notes == run.notes and again.best is None
    for name in ('generator', 'discriminator'):
        assert equal(getattr(again, name).state_dict(), getattr(run, name).state_dict()) and not getattr(again, name).training
    assert np.array_equal(again.generate(3, seed=1), generate(run, 3, seed=1))
    assert again.make_video(fps=np.int64(10)).name == 'training.webm' and len(again.plot_losses().axes) == 1


def test_a_continued_run_that_was_killed_gives_its_newest_weights(run, art, tiny):
    weights = Path('run/G.safetensors').read_bytes(), Path('run/D.pth').read_bytes()
    longer = fit(art, 4, out='run', **tiny)
    for name, old in zip(('G.safetensors', 'D.pth'), weights):  # as if the process had ended before it wrote them
        Path('run', name).write_bytes(old)
        os.utime(Path('run', name), (1e9, 1e9))
    again = Run.load('run')
    assert again.epochs == 4 and equal([*again], [*longer])
    assert equal(again.generator.state_dict(), longer.generator.state_dict()) and equal(again.discriminator.state_dict(), longer.discriminator.state_dict())


def test_a_run_without_checkpoints_is_opened_from_its_weights(run):
    for path in Path('run/checkpoints').iterdir(): path.unlink()
    again = Run.load('run')
    assert again.epochs == 2 and equal(again.generator.state_dict(), run.generator.state_dict())
    assert equal(again.discriminator.state_dict(), run.discriminator.state_dict())


def test_looking_at_a_run_moves_nobodys_random_numbers(run, art):
    pytest.importorskip('torch_fidelity')
    def states(): return torch.get_rng_state(), np.random.get_state()[1], repr(random.getstate())
    before = states()
    generate(run, n=3)
    draw_latents(5, 8, seed=4)
    load_generator()
    Run.load('run')
    assert equal(states(), before)
    score_run(run, art, n=10, device='cpu')
    assert equal(states(), before)


def test_every_picture_in_a_file_carries_its_latent_and_stays(run):
    from artgan.latents import LoadedGenerator
    from artgan.points import read_latent
    pictures = generate(run, n=3, seed=5, device='cpu')
    first = save_pictures(pictures, 'pictures', run, seed=5)
    before = [p.read_bytes() for p in first]
    second = save_pictures(generate(run, n=5, seed=5, device='cpu'), 'pictures', run, seed=5)
    assert [p.read_bytes() for p in first] == before and len({*first, *second}) == len(list(Path('pictures').iterdir())) == 8
    assert sorted([*first, *second]) == [*first, *second]  # the second series does not stand between the first
    generator = LoadedGenerator(run, 'cpu')
    for i, path in enumerate(first):
        assert torch.equal(read_latent_info(path)['latent'], draw_latents(3, 8, seed=5)[i:i + 1])
        assert torch.equal(read_latent(path, generator), read_latent_info(path)['latent'])


@pytest.mark.parametrize('call', [lambda run: make_video(run, fps='24'), lambda run: make_video(run, width=True), lambda run: generate(run, n=True),
                                  lambda run: generate(run, seed=None), lambda run: generate(run, device='gpu'), lambda run: generate(run, seed=2**80),
                                  lambda run: draw_latents('3', 8), lambda run: run.show_samples('1'), lambda run: score_run(run, n=True)])
def test_wrong_arguments_are_named(run, call):
    with pytest.raises(InputError, match='fps|width|n is|seed|device|epochs'): call(run)


def test_a_tilde_is_the_home_folder(run, monkeypatch):
    monkeypatch.setenv('HOME', os.getcwd())
    monkeypatch.setenv('USERPROFILE', os.getcwd())
    assert equal(Run.load('~/run').generator.state_dict(), run.generator.state_dict())
    assert make_video(run, '~/film.webm') == Path.cwd()/'film.webm' and generate('~/run/G.safetensors', 1).shape == (1, 32, 32, 3)
    assert save_pictures(generate(run, 1), '~/new', run)[0].parent == Path.cwd()/'new'


@pytest.mark.parametrize('given', [lambda art: art, lambda art: [*art], torch.from_numpy, lambda art: torch.from_numpy(art).permute(0, 3, 1, 2)/127.5 - 1, lambda art: {'image': art}], ids=['array', 'list', 'tensor', 'floats', 'dictionary'])
@pytest.mark.parametrize('mode', [None, 'L'])
def test_the_pictures_of_a_run_are_known_in_every_form_that_fit_takes(given, mode, art, tiny):
    run = fit(given(art), 1, out='run', mode=mode, hold_out=0.2, **tiny)
    pictures, held = run_pictures(run, given(art))
    assert pictures.shape == (20, 32, 32, 1 if mode else 3) and len(held) == 4
    with pytest.raises(InputError, match='with fingerprint'): run_pictures(run, given(art[::-1].copy()))


def test_no_figure_moves_the_random_state(run, art):
    before = torch.get_rng_state()
    load_snapshot([*snapshots(run).values()][0]), plot_logits(run, art, 4), plot_activations(run, 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('start', [0, 1, 5])
def test_the_grid_before_training_is_called_so_and_no_other(start, art, tiny):
    run = fit(art, 3, out='run', start_idx=start, **tiny)
    titles = [ax.get_title() for ax in run.show_samples(range(start + 4)).axes]
    assert titles == ['before training', *(f'epoch {start + i}' for i in range(3))] if start else titles == ['epoch 0', 'epoch 1', 'epoch 2']
    lines = Path('run/history.csv').read_text().splitlines(True)
    page = replay(run)
    page.table = curve_table(run.history)  # nine steps are too few to be drawn
    page.jpegs = {n: b'' for n, _ in page.grids}
    page.seen = {start: 20, start + 1: 40}  # as of a history that was saved before the last epoch
    said = []
    for number, _ in page.grids:
        page.slider.value = number
        page._show()
        said.append(page.title.value)
    assert said == ['before training', f'after epoch {start}, 20 pictures seen', f'after epoch {start + 1}, 40 pictures seen', f'after epoch {start + 2}']
    assert len(lines) == 10


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA'])
def test_a_grid_of_one_picture_is_cut_out_whole(mode, tiny):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, {'L': 1, 'RGB': 3, 'RGBA': 4}[mode]), dtype=np.uint8)
    run = fit(pictures, 1, out='run', **tiny)
    one = np.asarray(Image.open(cut_out(write_grid('one.png', run, n=1), 1, 1)))
    assert np.array_equal(one.reshape(32, 32, -1), generate(run, 1, seed=0, device='cpu')[0])
    Image.fromarray(one).save('old.png', pnginfo=latent_info(draw_latents(1, 8, seed=0), 'x', pictures=1, columns=1, shape=[32, 32]))
    assert np.array_equal(np.asarray(Image.open(cut_out('old.png', 1, 1))), one), 'as such grids were once'


def test_classes_are_scored_with_their_own_labels(art, tiny):
    pytest.importorskip('torch_fidelity', reason='the extra metrics is not installed')
    labels = ['a', 'b', 'b', 'a']*5
    run = fit(art, 1, out='run', labels=labels, least=1, **tiny)
    assert score_classes(run, art, labels, n=10, device='cpu').n == 10
    with pytest.raises(InputError, match='another order'): score_classes(run, art, labels[::-1][1:] + labels[:1], n=10, device='cpu')


def test_nearest_opens_a_folder_for_the_generator_of_the_package(tmp_path):
    for i, picture in enumerate(demo_art(22, size=70)[0]): Image.fromarray(picture).save(tmp_path/f'{i}.png')
    assert nearest(data=tmp_path, pictures=generate(None, 2, device='cpu'), features='pixels').nearest.shape == (2, 64, 64, 3)
