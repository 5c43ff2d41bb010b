"The widgets as a person meets them: JupyterLab in a real browser, a mouse, and what is on the page."
import json
import os
import shutil
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from browsing import browser, browser_path, served, shot, until  # noqa: F401, `browser` is a fixture

pytest.importorskip('playwright.sync_api')
pytestmark = [pytest.mark.skipif(browser_path is None, reason='no Chromium here: .ci/run installs one where it can'),
              pytest.mark.skipif(shutil.which('jupyter-lab', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}') is None, reason='no JupyterLab here')]


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "JupyterLab, in a folder of its own: (its address, the folder)"
    folder = tmp_path_factory.mktemp('lab')
    options = ['--ServerApp.ip=127.0.0.1', '--IdentityProvider.token=', '--ServerApp.password=', '--ServerApp.port_retries=0', f'--ServerApp.root_dir={folder}',
               '--LabApp.news_url=', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    with served(folder, 'jupyterlab', *options) as address: yield address, folder


@pytest.fixture
def opened(lab, browser):
    "A function that opens a notebook with these cells, runs all of it, and gives the page and the folder"
    address, folder = lab
    pages = []
    def open_notebook(name, *cells, interface='doc/tree'):
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata={'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'}})
        nbformat.write(nb, folder/f'{name}.ipynb')
        page = browser.new_page(viewport={'width': 1300, 'height': 1500})
        pages.append(page)
        page.goto(f'{address}/{interface}/{name}.ipynb?reset')
        page.get_by_role('menuitem', name='Run', exact=True).wait_for(timeout=90_000)
        def started(): # the kernel, as the server knows it; the page says idle before there is one
            with urllib.request.urlopen(f'{address}/api/sessions') as answer: return any(x['path'] == f'{name}.ipynb' and x['kernel']['execution_state'] == 'idle' for x in json.load(answer))
        until(started, 90)
        page.locator('.jp-Notebook-ExecutionIndicator[data-status=idle], .jp-NotebookKernelStatus').first.wait_for(state='attached', timeout=60_000)
        page.wait_for_timeout(500)
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        return page, folder
    yield open_notebook
    for page in pages:
        shot(page, f'end-{page.url.split("/")[-1][:6]}')
        page.close()


def source(page, i=0): return page.locator('.jp-OutputArea-output img.widget-image').nth(i).get_attribute('src')

# what a widget shows comes as a blob, whose address changes with the picture


@pytest.mark.parametrize('interface', ['doc/tree', pytest.param('notebooks', marks=pytest.mark.skipif(find_spec('notebook') is None, reason='no Jupyter Notebook 7 here'))])
def test_explorer(opened, interface):
    page, folder = opened(interface[:3], 'from artgan.explorer import Path, explore\ne = explore(start=5)\n' + f"e.generator.folder = Path('{interface[:3]}-kept')" + '\ne', interface=interface)
    page.locator('img.widget-image').first.wait_for(timeout=90_000)
    shot(page, f'explorer-before-{interface[:3]}')
    pictures = [source(page)]
    def changed():
        until(lambda: source(page) != pictures[-1])
        pictures.append(source(page))
    handles = page.locator('.noUi-handle')
    until(lambda: handles.count() == 13)  # latent scaling and twice six directions
    track = page.locator('.noUi-base').nth(1).bounding_box()
    handle = handles.nth(1).bounding_box()
    page.mouse.move(handle['x'] + handle['width']/2, handle['y'] + handle['height']/2)
    page.mouse.down()
    page.mouse.move(track['x'] + 0.9*track['width'], handle['y'] + 5, steps=8)
    page.mouse.up()
    changed()
    shot(page, 'explorer-slider')
    page.get_by_role('button', name='random').click()
    changed()
    page.get_by_role('button', name='undo').click()
    changed()
    page.get_by_role('button', name='keep', exact=True).click()
    until(lambda: 'kept as' in page.locator('.widget-html').all_inner_texts().__str__())
    shot(page, f'explorer-kept-{interface[:3]}')
    kept, = (folder/f'{interface[:3]}-kept').glob('*.png')
    with Image.open(kept) as image: assert image.size == (64, 64) and len(json.loads(image.text['artgan'])['latent']) > 100
    until(lambda: page.locator('img.widget-image').count() == 2)  # the shelf shows it


def test_breeder(opened):
    page, _ = opened('breed', 'from artgan.explorer import breed\nbreed(seed=2)')
    page.locator('img.widget-image').nth(8).wait_for(timeout=90_000)
    before = [source(page, i) for i in range(9)]
    for i in (4, 6): page.get_by_role('button', name='parent').nth(i).click()
    page.get_by_role('button', name='next nine').click()
    until(lambda: all(source(page, i) != before[i] for i in (0, 8)))
    until(lambda: 'generation 2' in ' '.join(page.locator('.widget-html').all_inner_texts()))  # the words come after the pictures
    shot(page, 'breeder')
    page.get_by_role('button', name='back', exact=True).click()
    until(lambda: 'generation 1' in ' '.join(page.locator('.widget-html').all_inner_texts()))


def test_live_view_and_replay(opened):
    page, folder = opened('live', 'from artgan.demo import demo_art\nfrom artgan.train import fit\nfrom artgan.replays import replay',
                          "run = fit(demo_art(300, size=32)[0], epochs=100_000, out='run', recipe='cpu', width=8, latent_size=16, score_every=0, device='cpu')", 'print("steps", len(run.losses_g))\nreplay(run)')
    stop = page.get_by_role('button', name='stop after this step')
    stop.wait_for(timeout=90_000)
    until(lambda: (folder/'run'/'generated'/'generated-images-0004.png').exists())
    page.get_by_role('button', name='sample now').click()
    until(lambda: 'now, step' in ' '.join(page.locator('.widget-html').all_inner_texts()))
    until(lambda: page.locator('img.widget-image').count() == 3 and source(page, 2))
    shot(page, 'live')
    stop.click()
    page.get_by_text('the same call goes on from here').wait_for(timeout=30_000)
    stop.wait_for(state='hidden')  # a still has taken its place
    until(lambda: page.locator('.jp-RenderedHTMLCommon img[src^="data:image/jpeg"]').count() == 2)
    page.locator('.widget-play').wait_for(timeout=60_000)
    assert (folder/'run'/'G.safetensors').exists()
    last = source(page)
    page.locator('.widget-play button').first.click()  # from the end, play begins anew
    until(lambda: source(page) != last)
    shot(page, 'replay')
