"A generator on its way to the hub and back, by a small server on this machine."
import json
import os

import numpy as np
import pytest

os.environ['HF_HUB_DISABLE_XET'] = '1'  # the server knows the plain upload; read when huggingface_hub is imported
constants = pytest.importorskip('huggingface_hub.constants', reason='the extra hub is not installed')

import artgan
from artgan.cli import main
from artgan.core import InputError
from artgan.hub import prepare_hub, push_to_hub
from artgan.hub_files import fetch_generator
from artgan.latents import LoadedGenerator
from artgan.share import page_card
from artgan.start import read_start
from artgan.train import fit
from artgan.weights import PAINTINGS, generate
from hub_server import Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    "A hub of one's own, somebody who may write there, and an empty cache"
    hub = Hub()
    monkeypatch.setattr(constants, 'ENDPOINT', hub.url)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', hub.url + '/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path/'hf'))
    monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path/'no-token'))
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    monkeypatch.setenv('HF_TOKEN', 'hf_writes')
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope='module')
def run(tmp_path_factory, art):
    out = tmp_path_factory.mktemp('at home')/'run'
    return fit(art, 2, out=out, batch_size=8, latent_size=8, width=4, device='cpu', show=False, score_every=0)


def test_there_and_back(hub, run, tmp_path):
    "The same numbers, the same pictures, wherever a run is taken; nothing else is fetched"
    address = run.push_to_hub('me/shapes', licence='CC BY 4.0', both=True)
    commit, files = hub.files('me/shapes')
    assert address == f'{hub.url}/me/shapes/commit/{commit}' and hub.repos['me/shapes']['private']
    assert set(files) == {'.gitattributes', 'README.md', 'G.safetensors', 'G-D.safetensors', 'config.json', 'samples.png'}
    assert str(tmp_path.parent) not in str([c for f, c in files.items()]) and 'at home' not in str(files['config.json'])
    files['evil.pkl'] = files['D.pth'] = b'cos\nsystem\n'

    here, there = LoadedGenerator(run, 'cpu'), artgan.load('hub:me/shapes', 'cpu')
    assert there.digest == here.digest and there.folder.parts == ('shapes', 'kept')
    assert np.array_equal(generate('hub:me/shapes', 4, device='cpu'), generate(run, 4, device='cpu'))
    assert {p.name for p in fetch_generator('hub:me/shapes').parent.iterdir()} == {'G.safetensors', 'G-D.safetensors', 'config.json'}
    assert read_start('hub:me/shapes')['images'] == read_start(run.path/'G.safetensors')['images'] > 0
    assert main(['generate', 'hub:me/shapes', '-n', '2', '--device', 'cpu']) == 0 and len(list((tmp_path/'shapes/pictures').iterdir())) == 2
    assert dict(page_card('hub:me/shapes'))['licence'] == 'CC BY 4.0' and '20 pictures' in dict(page_card('hub:me/shapes'))['trained on']


def test_begun_from_the_hub(hub, run, art, tiny):
    push_to_hub(run, 'me/shapes', both=True)
    began = fit(art, 1, out='began', start='hub:me/shapes', score_every=0, **tiny)
    hub.repos.clear()
    again = fit(art, 2, out='began', start='hub:me/shapes', score_every=0, **tiny)
    assert began.epochs == 1 and again.epochs == 2, 'it goes on although the repository is gone'


def test_a_second_push_is_a_new_commit(hub, run):
    "Of which nothing is left over from the first, and the first is still there"
    push_to_hub(run, 'me/shapes', both=True, private=False)
    first, _ = hub.files('me/shapes')
    old = artgan.load(f'hub:me/shapes@{first}', 'cpu')
    push_to_hub(PAINTINGS, 'me/shapes')
    second, files = hub.files('me/shapes')
    assert second != first and 'G-D.safetensors' not in files and len(hub.repos['me/shapes']['commits']) == 3 and not hub.repos['me/shapes']['private']
    assert artgan.load('hub:me/shapes', 'cpu').latent_size == 128 and artgan.load(f'hub:me/shapes@{first}', 'cpu').digest == old.digest
    with pytest.raises(InputError, match='both=True'): read_start('hub:me/shapes')
    hub.shutdown()
    hub.server_close()
    assert artgan.load('hub:me/shapes', 'cpu').latent_size == 128, 'what was fetched needs no network'


def test_what_is_not_ours_is_left_alone(hub, run):
    for files in {'model.bin': b'1'}, {'README.md': b'---\nlibrary_name: other\n---\n', 'G.safetensors': b'1'}, {'README.md': b'# mine'}:
        hub.repos['me/other'] = dict(private=False, commits=[('0'*40, files)])
        with pytest.raises(InputError, match='holds something else.*nothing was changed'): push_to_hub(run, 'me/other')
        assert len(hub.repos['me/other']['commits']) == 1 and not [c for c in hub.calls if 'preupload' in c[1] or 'commit' in c[1]]
    with pytest.raises(InputError, match='no G.safetensors'): artgan.load('hub:me/other')


@pytest.mark.parametrize('token, message', [(None, 'hf auth login'), ('hf_reads', 'token that may write'), ('hf_of_nobody', '401.*hf auth login')])
def test_who_may_not_write(hub, run, monkeypatch, token, message):
    if token: monkeypatch.setenv('HF_TOKEN', token)
    else: monkeypatch.delenv('HF_TOKEN')
    with pytest.raises(InputError, match=message): push_to_hub(run, 'me/shapes')
    assert not hub.repos


def test_who_may_not_read(hub, run, monkeypatch):
    push_to_hub(run, 'me/shapes')
    monkeypatch.delenv('HF_TOKEN')
    with pytest.raises(InputError, match='private.*hf auth login'): artgan.load('hub:me/shapes')
    monkeypatch.setenv('HF_TOKEN', 'hf_reads')
    with pytest.raises(InputError, match="no revision 'v2'"): artgan.load('hub:me/shapes@v2')
    assert artgan.load('hub:me/shapes', 'cpu').latent_size == 8


def test_no_network(hub, run, capsys):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(ConnectionError, match='did not answer'): artgan.load('hub:me/shapes')
    assert main(['generate', 'hub:me/shapes']) == 1 and 'Look at the network' in capsys.readouterr().err
    with pytest.raises(ConnectionError, match='did not answer'): push_to_hub(run, 'me/shapes')


def test_without_the_extra(run, monkeypatch):
    monkeypatch.setattr('artgan.hub_files.find_spec', lambda name: None)
    for call in (lambda: push_to_hub(run, 'me/shapes'), lambda: artgan.load('hub:me/shapes')):
        with pytest.raises(InputError, match=r'artgan\[hub\]'): call()


def test_on_the_command_line(hub, run, capsys):
    assert main(['push', str(run.path), 'me/shapes', '--licence', 'MIT', '--data', 'shapes | mine', '--no-private']) == 0
    _, files = hub.files('me/shapes')
    card = files['README.md'].decode()
    assert '/commit/' in capsys.readouterr().out and 'license: mit' in card and r'shapes \| mine' in card and not hub.repos['me/shapes']['private']
    assert main(['push', str(run.path), 'shapes']) == 2 and 'hub:name/repo' in capsys.readouterr().err


def test_a_file_and_the_paintings(tmp_path):
    "Of which less is known, or other things"
    card = (prepare_hub(None, 'me/p', tmp_path/'p')/'README.md').read_text()
    assert '4,500 of 5,000 paintings' in card
    file = prepare_hub(PAINTINGS, 'me/p', tmp_path/'f', data='old paintings')
    assert 'old paintings' in (file/'README.md').read_text() and json.loads((file/'config.json').read_text())['config']['network'] == 'fine'
