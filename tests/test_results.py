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

from artgan.core import InputError
from artgan.results import score_run
from artgan.train import fit
from artgan.video import make_video, open_writer
from artgan.weights import draw_latents, generate, load_generator
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
    assert calls != code and calls.count('show') == 7  # what is counted below is what the README calls
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
