"""The widgets with what Colab has, ipykernel 6, ipywidgets 7 and Jupyter Notebook 6, in a real browser. `.ci/colab` makes the
environment and calls this; it is not part of the test command. Pictures of the pages are left in the folder ARTGAN_SCREENSHOTS."""
import json
import sys
from pathlib import Path

import ipykernel
import ipywidgets
import nbformat
import notebook
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'tests'))
from browsing import browser, served, shot, until  # `browser` is a fixture


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    "Jupyter Notebook 6, in a folder of its own: (its address, the folder)"
    folder = tmp_path_factory.mktemp('colab')
    options = ['--ip=127.0.0.1', '--NotebookApp.token=', '--NotebookApp.password=', '--NotebookApp.port_retries=0', f'--notebook-dir={folder}']
    with served(folder, 'notebook', *options) as address: yield address, folder


@pytest.fixture
def opened(server, browser):
    "A function that opens a notebook with these cells, runs all of it, and gives the page and the folder"
    address, folder = server
    pages = []
    def open_notebook(name, *cells):
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata={'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'}})
        nbformat.write(nb, folder/f'{name}.ipynb')
        page = browser.new_page(viewport={'width': 1300, 'height': 1500})
        pages.append((name, page))
        page.goto(f'{address}/notebooks/{name}.ipynb')
        page.wait_for_function('window.Jupyter && Jupyter.notebook && Jupyter.notebook.kernel && Jupyter.notebook.kernel.is_connected()', timeout=90_000)
        page.wait_for_timeout(1000)
        page.evaluate('Jupyter.notebook.execute_all_cells()')
        return page, folder
    yield open_notebook
    for name, page in pages:
        shot(page, f'colab-{name}')
        page.evaluate('Jupyter.notebook.kernel.kill()')
        page.close()


def source(page, i=0): return page.locator('.output_area img.widget-image').nth(i).get_attribute('src')


def button(page, words): return page.locator('.widget-button, .widget-toggle-button', has_text=words)


def words(page): return ' '.join(page.locator('.widget-html').all_inner_texts())


def test_what_colab_has():
    assert sys.version_info[:2] == (3, 12)
    found = [int(module.__version__.split('.')[0]) for module in (ipykernel, ipywidgets, notebook)]
    assert found == [6, 7, 6], 'ipykernel, ipywidgets, notebook'


def test_explorer(opened):
    page, folder = opened('explorer', "from artgan.explorer import Path, explore\ne = explore(start=5)\ne.generator.folder = Path('kept')\ne")
    page.locator('img.widget-image').first.wait_for(timeout=90_000)
    pictures = [source(page)]
    def changed():
        until(lambda: source(page) != pictures[-1])
        pictures.append(source(page))
    handles, tracks = page.locator('.ui-slider-handle'), page.locator('.ui-slider')
    assert handles.count() == 13, 'latent scaling and twice six directions'
    handle, track = handles.nth(1).bounding_box(), tracks.nth(1).bounding_box()
    page.mouse.move(handle['x'] + handle['width']/2, handle['y'] + handle['height']/2)
    page.mouse.down()
    page.mouse.move(track['x'] + 0.9*track['width'], handle['y'] + 5, steps=8)
    page.mouse.up()
    changed()
    button(page, 'random').click()
    changed()
    button(page, 'undo').click()
    changed()
    button(page, 'keep').first.click()
    until(lambda: 'kept as' in words(page))
    kept, = (folder/'kept').glob('*.png')
    with Image.open(kept) as image: assert image.size == (64, 64) and len(json.loads(image.text['artgan'])['latent']) > 100
    assert page.locator('img.widget-image').count() == 2, 'the shelf shows it'


def test_breeder(opened):
    page, _ = opened('breeder', 'from artgan.explorer import breed\nbreed(seed=2)')
    page.locator('img.widget-image').nth(8).wait_for(timeout=90_000)
    before = [source(page, i) for i in range(9)]
    for i in (4, 6): button(page, 'parent').nth(i).click()
    button(page, 'next nine').click()
    until(lambda: all(source(page, i) != before[i] for i in (0, 8)))
    until(lambda: 'generation 2' in words(page))  # the words come after the pictures
    button(page, 'back').first.click()
    until(lambda: 'generation 1' in words(page))


def test_live_view_and_replay(opened):
    "Its buttons are heard while the cell trains, and the cells that wait run once, after it, in order"
    page, folder = opened('live', 'from artgan.demo import demo_art\nfrom artgan.train import fit\nfrom artgan.replays import replay\nseen = []',
                          "run = fit(demo_art(300, size=32)[0], epochs=100_000, out='run', recipe='cpu', width=8, latent_size=16, score_every=0, device='cpu')\nseen.append('trained')",
                          "seen.append('next')\nprint(seen, 'steps', len(run.losses_g))\nreplay(run)")
    stop = button(page, 'stop after this step')
    stop.wait_for(timeout=90_000)
    until(lambda: (folder/'run'/'generated'/'generated-images-0004.png').exists())
    button(page, 'sample now').click()
    until(lambda: 'now, step' in words(page), 20)
    shot(page, 'colab-live-training')
    stop.click()
    page.get_by_text('the same call goes on from here').wait_for(timeout=30_000)
    assert not stop.is_visible(), 'a still has taken its place'
    page.get_by_text("['trained', 'next'] steps").wait_for(timeout=30_000)
    assert page.locator('img[src^="data:image/jpeg"]').count() == 2
    assert (folder/'run'/'G.safetensors').exists()
    play = page.locator('.widget-play')
    play.wait_for(timeout=60_000)
    last = source(page)
    play.locator('button').first.click()  # from the end, play begins anew
    until(lambda: source(page) != last)


def test_interrupting_from_the_menu(opened):
    "The notebook's own stop button ends a run as elsewhere, saved, while the view listens"
    page, folder = opened('interrupt', 'from artgan.demo import demo_art\nfrom artgan.train import fit',
                          "run = fit(demo_art(300, size=32)[0], epochs=100_000, out='stopped', recipe='cpu', width=8, latent_size=16, score_every=0, device='cpu')")
    until(lambda: (folder/'stopped'/'generated'/'generated-images-0003.png').exists(), 90)
    page.evaluate('Jupyter.notebook.kernel.interrupt()')
    page.get_by_text('the same call goes on from here').wait_for(timeout=30_000)
    assert (folder/'stopped'/'G.safetensors').exists()
