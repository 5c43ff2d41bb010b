"A generator as an ONNX file, for every pair of networks."
import itertools
import json
from importlib.util import find_spec

import pytest
import torch

import artgan.onnx_export
from artgan.cli import main
from artgan.core import InputError
from artgan.models import NETWORKS, generator
from artgan.onnx_export import export_onnx
from artgan.runs import pack_weights
from artgan.points import draw_latents

onnxruntime = pytest.importorskip('onnxruntime', reason='the extra onnx is not installed')
shapes = {'dcgan': 64, 'fine+1': 64, 'fine+2': 128}


def trained(folder, **about):
    "A G.safetensors as a run has it, of a generator whose batch norm has seen something"
    G = generator(seed=3, **about)
    G(draw_latents(8, about['latent_size'], 1, about.get('classes')))
    path = folder/'G.safetensors'
    path.write_bytes(pack_weights(G.state_dict(), about))
    return path, G.eval()


@pytest.mark.parametrize('network, channels', list(zip(NETWORKS, itertools.cycle((3, 1, 4)))))
def test_every_pair_in_colour_grey_or_transparent(network, channels, tmp_path):
    path, G = trained(tmp_path, network=network, size=shapes.get(network, (48, 32)), latent_size=8, channels=channels, width=4)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    file = export_onnx(path)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    session = onnxruntime.InferenceSession(file)
    for n in (1, 3, 16):
        z = draw_latents(n, 8, seed=9)
        with torch.no_grad(): assert torch.allclose(torch.from_numpy(session.run(None, {'latents': z.numpy()})[0]), G(z), atol=1e-4)


def test_classes_are_the_end_of_a_latent(tmp_path):
    "No second input: as the metadata has the classes, in that order"
    classes = {'Monet': 30, 'Goya': 10}
    path, G = trained(tmp_path, network='plain', size=(32, 48), latent_size=8, channels=4, width=4, classes=classes)
    session = onnxruntime.InferenceSession(export_onnx(path))
    about = json.loads(session.get_modelmeta().custom_metadata_map['artgan'])
    assert about['classes'] == classes and session.get_inputs()[0].shape[1:] == [8 + 2, 1, 1] and len(session.get_inputs()) == 1
    z = draw_latents(3, 8, 9, classes, label='Goya')
    assert z[:, 8:].flatten().tolist() == [0, 1]*3
    with torch.no_grad(): assert torch.allclose(torch.from_numpy(session.run(None, {'latents': z.numpy()})[0]), G(z), atol=1e-4)


def test_what_is_refused(tmp_path, monkeypatch):
    path, G = trained(tmp_path, network='plain', size=32, latent_size=8, channels=3, width=4)
    with pytest.raises(InputError, match='suffix'): export_onnx(path, tmp_path/'g.onx')
    with pytest.raises(InputError, match='nowhere'): export_onnx(tmp_path/'nowhere', tmp_path/'g.onnx')
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(artgan.onnx_export, 'most_apart', 0.)
        with pytest.raises(InputError, match='nothing was written'): export_onnx(path)
        patch.setattr(artgan.onnx_export, 'find_spec', lambda name: None if name == 'onnxscript' else find_spec(name))
        with pytest.raises(InputError, match=r"onnxscript not installed.*artgan\[onnx\]"): export_onnx(path)
    assert sorted(tmp_path.iterdir()) == before, 'nothing is left behind'


def test_on_the_command_line(tmp_path, capsys):
    path, _ = trained(tmp_path, network='plain', size=32, latent_size=8, channels=3, width=4)
    assert main(['export', str(path), '--onnx']) == 0 and 'G.onnx' in capsys.readouterr().out
    about = json.loads(onnxruntime.InferenceSession(tmp_path/'G.onnx').get_modelmeta().custom_metadata_map['artgan'])
    assert (about['network'], about['size'], about['latent_size'], len(about['generator'])) == ('plain', 32, 8, 64)
    assert main(['export', str(path), '--onnx']) == 2 and 'exists already' in capsys.readouterr().err
