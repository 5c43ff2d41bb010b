"""The page of `share_run` in a real browser, without network: what it draws, saves and does.

It needs a copy of onnxruntime-web: `npm install onnxruntime-web@1.30.0`, and ARTGAN_ONNXRUNTIME_WEB with the path of node_modules/onnxruntime-web."""
import functools
import http.server
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from artgan.points import read_latent
from artgan.latents import LoadedGenerator
from artgan.runs import pack_weights
from artgan.models import generator as new_generator
from artgan.recipes import RECIPES
from artgan.share import share_run
from artgan.points import draw_latents
from browsing import browser, browser_path, shot

runtime = os.environ.get('ARTGAN_ONNXRUNTIME_WEB')
pytestmark = [pytest.mark.skipif(not runtime, reason='needs ARTGAN_ONNXRUNTIME_WEB, a copy of onnxruntime-web'),
              pytest.mark.skipif(not browser_path, reason='needs Chromium')]
PAINT = """async latents => (await artgan.paint(latents.map(z => Float32Array.from(z)))).map(image => [...image.data])"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    share_run(path=folder/'paintings.html', runtime=runtime)
    return folder


def opened(browser, address, width=1000, height=900, **about):
    "The page, once it paints, without network"
    context = browser.new_context(viewport=dict(width=width, height=height), accept_downloads=True, **about)
    if address.startswith('file'): context.set_offline(True)
    page, errors = context.new_page(), []
    page.on('pageerror', lambda e: errors.append(str(e)))
    page.goto(address)
    page.wait_for_function("window.artgan || document.getElementById('status').textContent.includes('could not')", timeout=60_000)
    assert page.inner_text('#status') == '' and not errors
    return page, errors


def painted(page, latents):
    x = np.array(page.evaluate(PAINT, latents.flatten(1).tolist()), np.uint8)
    height, width = page.evaluate('artgan.about.shape')
    return x.reshape(len(latents), height, width, 4)


def test_from_a_file(browser, folder):
    "The same latents, the same pictures; new, back, sliders, breeding, keys, saving"
    page, errors = opened(browser, (folder/'paintings.html').as_uri())
    here, z = LoadedGenerator(device='cpu'), draw_latents(16, 128, seed=5)
    there = painted(page, z)
    apart = np.abs(there[..., :3].astype(int) - here(z)).max()
    assert apart <= 3 and (there[..., 3] == 255).all()
    shot(page, 'share-desktop')

    def shown(): return page.evaluate("artgan.png().then(b => b.size)"), page.evaluate('[...artgan.latent()]')
    first = shown()
    page.click('#new')
    page.wait_for_timeout(300)
    second = shown()
    assert second != first
    slider = page.locator('#sliders input').first
    slider.focus()
    for _ in range(30): page.keyboard.press('ArrowRight')
    page.wait_for_timeout(300)
    moved = torch.tensor(page.evaluate('[...artgan.latent()]')) - torch.tensor(second[1])
    direction = torch.tensor(page.evaluate('artgan.about.directions[0].vector'))
    assert torch.allclose(moved, 3*direction, atol=1e-3), 'thirty times a tenth'
    page.click('#middle')
    page.keyboard.press('b')
    page.wait_for_timeout(300)
    assert shown()[1] == first[1]

    page.locator('#nine button').nth(4).click()
    parent = page.evaluate('[...artgan.latent()]')
    page.click('#next')
    page.wait_for_timeout(800)
    page.locator('#nine button').nth(0).click()
    assert page.evaluate('[...artgan.latent()]') == parent, 'the first of the next nine is the parent'
    assert page.locator('#nine button[aria-pressed=true]').count() == 1

    page.wait_for_timeout(300)
    with page.expect_download() as download: page.keyboard.press('s')
    path = folder/download.value.suggested_filename
    download.value.save_as(path)
    assert torch.equal(read_latent(path, here).flatten(), torch.tensor(parent)), 'and no warning of other weights'
    page.click('#walk')
    assert page.get_attribute('#walk', 'aria-pressed') == 'true'
    page.wait_for_function('parent => [...artgan.latent()].some((x, i) => x != parent[i])', arg=parent)
    page.click('#walk')
    assert page.get_attribute('#walk', 'aria-pressed') != 'true' and not errors


def test_touched_before_it_has_started(browser, folder):
    "What needs the network waits for it"
    go_on = threading.Event()
    page_text = (folder/'paintings.html').read_text()
    class Slow(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args): "Say nothing"
        def do_GET(self):
            body = page_text.encode() if self.path == '/' else b'1'
            if self.path != '/': go_on.wait(60)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
    page_text = page_text.replace('[ort, session] = await open()', "await fetch('/wait')\n  ;[ort, session] = await open()")
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page, errors = browser.new_context().new_page(), []
        page.on('pageerror', lambda e: errors.append(str(e)))
        page.goto(f'http://127.0.0.1:{server.server_port}/')
        for place in ('#sliders input', '#nine button'):
            with pytest.raises(Exception, match='Timeout'): page.locator(place).first.click(timeout=500)
        go_on.set()
        page.wait_for_function('window.artgan', timeout=60_000)
        page.locator('#nine button').first.click()
        page.locator('#sliders input').first.fill('3')
        page.wait_for_timeout(500)
        assert page.inner_text('#status') == '' and not errors
        server.shutdown()


def test_from_a_server_on_a_phone_in_the_dark(browser, folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page, errors = opened(browser, f'http://127.0.0.1:{server.server_port}/paintings.html', 390, 844, color_scheme='dark', has_touch=True)
        page.tap('#new')
        page.wait_for_timeout(300)
        assert page.evaluate('document.documentElement.scrollWidth') <= 390, 'nothing is wider than the screen'
        shot(page, 'share-phone')
        page.screenshot(path=folder/'phone.png', full_page=True)
        server.shutdown()
    assert not errors


@pytest.mark.parametrize('channels', [1, 4])
def test_grey_transparent_and_upright(browser, tmp_path, channels):
    G = new_generator(network='plain', seed=3, size=(48, 32), latent_size=8, channels=channels, width=8)
    about = dict(network='plain', size=(48, 32), latent_size=8, channels=channels, width=8)
    G(torch.randn(32, 8, 1, 1))
    weights = tmp_path/'G.safetensors'
    weights.write_bytes(pack_weights(G.state_dict(), about))
    page = tmp_path/'page.html'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('artgan.share.page_card', lambda *_: [['licence', '</script><b>none</b>']])
        share_run(weights, page, runtime=runtime)
    page, errors = opened(browser, page.as_uri())
    z, here = draw_latents(4, 8, seed=2), LoadedGenerator(weights, 'cpu')
    there, wanted = painted(page, z), here(z).astype(int)
    if channels == 1: assert np.abs(there[..., :1] - wanted).max() <= 3 and (there[..., 0] == there[..., 2]).all()
    else:
        def shown(x): return np.concatenate([x[..., :3]*(x[..., 3:]/255), x[..., 3:]], 3)  # colour as it is seen, times alpha; and alpha
        assert np.abs(shown(there.astype(float)) - shown(wanted)).max() <= 3
    assert page.inner_text('#card dd') == '</script><b>none</b>' and not errors


def test_with_classes(browser, tmp_path):
    "A menu: of the picture that is there another class, of new ones the chosen class; walks, breeding and PNGs keep labels"
    classes = {'2': 30, 'portraits': 20, '10': 10}  # numbers, which JavaScript would sort
    about = dict(network='plain', size=32, latent_size=8, channels=3, width=8, classes=classes)
    G = new_generator(**about, seed=3)
    G(draw_latents(32, 8, 1, classes))
    weights, file = tmp_path/'G.safetensors', tmp_path/'page.html'
    weights.write_bytes(pack_weights(G.state_dict(), about))
    share_run(weights, file, runtime=runtime)
    page, errors = opened(browser, file.as_uri(), 390, 844)
    here, z = LoadedGenerator(weights, 'cpu'), draw_latents(12, 8, 2, classes)
    assert np.abs(painted(page, z)[..., :3].astype(int) - here(z)).max() <= 3
    walk = page.inner_text('#walk')
    def latent(): return page.evaluate('[...artgan.latent()]')
    def drawn(n): return [page.evaluate("document.getElementById('new').click(), [...artgan.latent()]")[8:] for _ in range(n)]
    assert {tuple(x) for x in drawn(60)} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}, 'any'
    before = latent()
    page.select_option('#kind', 'portraits')
    assert latent()[:8] == before[:8] and latent()[8:] == [0, 1, 0] and drawn(3) == [[0, 1, 0]]*3
    page.locator('#sliders input').first.fill('3')
    page.select_option('#kind', '10')
    assert latent()[8:] == [0, 0, 1] and page.locator('#sliders input').first.input_value() == '3', 'sliders stay where they are'
    page.click('#back')
    assert latent()[8:] == [0, 1, 0]
    page.locator('#nine button').nth(4).click()
    parent = latent()
    page.locator('#nine button').nth(5).click()
    other = latent()
    page.click('#next')
    page.wait_for_timeout(500)
    for i in range(2, 9):
        page.locator('#nine button').nth(i).click()
        assert latent()[8:] in (parent[8:], other[8:]), 'a child has the class of a parent'
    page.locator('#kind').focus()
    before = latent()
    for key in 'nmw': page.keyboard.press(key)
    assert latent() == before and page.inner_text('#walk') == walk, 'letters in a menu are no shortcuts'
    page.select_option('#kind', '2')
    page.locator('#kind').blur()
    page.click('#walk')
    page.wait_for_timeout(700)
    page.click('#walk')
    assert abs(sum(latent()[8:]) - 1) < 1e-5
    with page.expect_download() as download: page.keyboard.press('s')
    download.value.save_as(tmp_path/'kept.png')
    assert torch.equal(read_latent(tmp_path/'kept.png', here).flatten(), torch.tensor(latent()))
    assert page.evaluate('document.documentElement.scrollWidth') <= 390 and not errors
    shot(page, 'share-classes')


def test_the_runtime_from_the_web(browser, tmp_path):
    "As npm has it the page starts; another file is refused; without network it says what to do"
    share_run(path=tmp_path/'page.html')
    def started(answer):
        page = browser.new_context().new_page()
        page.route('https://cdn.jsdelivr.net/**', answer)
        page.goto((tmp_path/'page.html').as_uri())
        page.wait_for_function("window.artgan || document.getElementById('status').textContent.includes('could not')", timeout=60_000)
        return page.inner_text('#status')
    def file(route): return Path(runtime)/'dist'/route.request.url.rpartition('/')[2]
    cors = {'Access-Control-Allow-Origin': '*'}
    assert started(lambda route: route.fulfill(path=file(route), headers=cors)) == ''
    assert 'could not start' in started(lambda route: route.fulfill(body=file(route).read_bytes() + b' ', headers=cors)), 'not that of the digest'
    assert 'cdn.jsdelivr.net: is there a network' in started(lambda route: route.abort())


def test_how_long_a_picture_takes(browser, folder, tmp_path, capsys):
    "Printed and not judged: a clock proves nothing in a test (12e_share shows what came out)"
    about = dict(network=RECIPES['gpu'].network, size=64, latent_size=128, channels=3, width=RECIPES['gpu'].width)
    (tmp_path/'G.safetensors').write_bytes(pack_weights(new_generator(**about, seed=1).state_dict(), about))
    pages = {'paintings': folder/'paintings.html', "recipe 'gpu'": share_run(tmp_path/'G.safetensors', runtime=runtime)}
    for name, file in pages.items():
        page, _ = opened(browser, file.as_uri())
        times = page.evaluate("""async () => { const found = []; for (let i = 0; i < 21; i++) { const z = [artgan.latent()], begun = performance.now();
                                 await artgan.paint(z); found.push(performance.now() - begun) } return found.sort((a, b) => a - b) }""")
        assert len(times) == 21 and times[0] > 0
        with capsys.disabled(): print(f'\n{name:13} {times[10]:5.1f} ms a picture, the median of 21; page {file.stat().st_size/1e6:.1f} MB')
