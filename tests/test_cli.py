"The command line as a process: what a shell sees of it."
import functools
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from artgan.cli import main
from artgan.hub import push_to_hub
from artgan.results import score_run
from artgan.share import share_run
from artgan.train import fit
from conftest import until


@pytest.mark.skipif(os.name == 'nt', reason='Windows sends signals differently')
def test_a_run_that_sigterm_stopped_is_saved_and_the_shell_does_not_go_on(art, started):
    os.mkdir('art')
    for i, picture in enumerate(art): Image.fromarray(picture).save(f'art/{i}.png')
    line = 'train art --size 32 --epochs 20000 --batch-size 8 --latent-size 8 --width 4 --device cpu --out run'
    process = started([sys.executable, '-m', 'artgan.cli', *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: os.path.exists('run/generated/generated-images-0001.png') or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143 and 'the same call goes on from here' in out and 'Traceback' not in err
    assert os.path.exists('run/G.safetensors')


def test_generate_goes_on_where_it_was_interrupted(tmp_path, monkeypatch, capsys):
    import artgan.samples
    write, line = artgan.samples.write_picture, ['generate', '-n', '70', '--seed', '5', '--out', str(tmp_path/'made'), '--device', 'cpu']
    def interrupted(path, *more, number, **about):
        if number == 66: raise KeyboardInterrupt
        write(path, *more, number=number, **about)
    monkeypatch.setattr(artgan.samples, 'write_picture', interrupted)
    assert main(line) == 130
    before = {p: p.read_bytes() for p in (tmp_path/'made').iterdir()}
    assert len(before) == 66
    monkeypatch.setattr(artgan.samples, 'write_picture', write)
    assert main(line) == 0 and '70 pictures in' in capsys.readouterr().out
    assert len(list((tmp_path/'made').iterdir())) == 70 and all(p.read_bytes() == content for p, content in before.items())


def test_share_and_push_score_first_where_asked(monkeypatch, capsys):
    "Only a score has a baseline, so the card of a page needs one"
    given = {}
    def instead(f, do): monkeypatch.setattr(f'artgan.cli.{f.__name__}', functools.wraps(f)(do))  # whose parameters are the options
    instead(score_run, lambda run: f'the score of {run}')
    instead(share_run, lambda *args, **more: given.update(share=(*args, more)))
    instead(push_to_hub, lambda *args, **more: given.update(push=(*args, more)))
    assert main(['share', 'runs/x', '--score', '--title', 'Mine']) == main(['push', 'runs/x', 'me/x', '--score']) == 0
    assert given == dict(share=('runs/x', None, dict(title='Mine', score='the score of runs/x')), push=('runs/x', 'me/x', dict(score='the score of runs/x')))
    assert main(['share', 'runs/x']) == 0 and given['share'] == ('runs/x', None, {})


def test_compare_overwrites_nothing(art, tiny, capsys, tmp_path):
    for seed in (1, 2): fit(art, 1, out=f'run{seed}', seed=seed, **tiny)
    for out, said in (('run1/samples.png', 'exists already'), ('curves', 'the suffix must be .png'), ('run1', 'the suffix must be .png'), ('x.pdf', 'the suffix must be .png')):
        assert main(['compare', 'run1', 'run2', '--out', out]) == 2 and said in capsys.readouterr().err, out
    assert main(['compare', 'run1', 'run2', '--out', 'curves.png']) == 0 and Image.open('curves.png').width > 300


@pytest.mark.parametrize('run', ['nothing', '.'])
def test_what_is_no_run_is_not_shared(run, capsys):
    pytest.importorskip('onnx', reason='the extra onnx is not installed')
    assert main(['share', run]) == 2 and 'pass the folder that fit wrote' in capsys.readouterr().err
